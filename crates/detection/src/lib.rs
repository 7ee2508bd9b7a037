//! Detectors of risky prompts and tool calls: rules as data, labels, risk and spans.
