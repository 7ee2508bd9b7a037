"""Reads exports with programs of others: `read.py FORMAT FILE` prints what it found, as JSON."""

import csv
import json
import pathlib
import sys


def har(path):
    from haralyzer import HarParser

    with open(path, encoding="utf-8") as file:
        parser = HarParser(json.load(file))
    # `pages` is optional in HAR 1.2, and so are they to this reader.
    entries = [entry for page in parser.pages for entry in page.entries]
    return [
        {
            "id": entry.raw_entry["_tollbook"]["id"],
            "method": entry.request.method,
            "url": entry.request.url,
            "status": entry.response.status,
            "type": entry.response.mimeType,
            "text": entry.response.text,
        }
        for entry in entries
    ]


def ocsf(path):
    from jsonschema import Draft202012Validator

    schema = pathlib.Path(__file__).with_name("ocsf-1.8.0-api-activity.json")
    validator = Draft202012Validator(json.loads(schema.read_text(encoding="utf-8")))
    found = []
    for line in open(path, encoding="utf-8"):
        event = json.loads(line)
        faults = [f"{list(fault.path)}: {fault.message}" for fault in validator.iter_errors(event)]
        assert not faults, faults
        # A schema that takes anything would show nothing.
        event["api"].pop("operation")
        assert not validator.is_valid(event)
        found.append({"id": event["metadata"]["uid"], "disposition": event["disposition_id"]})
    return found


def otlp(path):
    from google.protobuf import json_format
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    found = []
    for line in open(path, encoding="utf-8"):
        data = json_format.Parse(line, TracesData())
        for resource in data.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    has = {one.key: one.value for one in span.attributes}
                    found.append(
                        {
                            "id": has["tollbook.exchange.id"].string_value,
                            "name": span.name,
                            "took": span.end_time_unix_nano - span.start_time_unix_nano,
                            "tokens": has["gen_ai.usage.output_tokens"].int_value
                            if "gen_ai.usage.output_tokens" in has
                            else None,
                        }
                    )
    # Ids are hexadecimal in OTLP/JSON, which the library takes for base64.
    spans = json.loads(open(path, encoding="utf-8").readline())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for span in spans:
        assert len(bytes.fromhex(span["traceId"])) == 16, span
        assert len(bytes.fromhex(span["spanId"])) == 8, span
    return found


def parquet(path):
    import pyarrow
    from pyarrow import parquet as reader

    file = reader.ParquetFile(path)
    schema = file.schema_arrow
    # What those who query tables of many files rely on.
    assert schema.field("started").type == pyarrow.timestamp("us", tz="UTC"), schema
    assert schema.field("index").type == pyarrow.int64(), schema
    assert pyarrow.types.is_list(schema.field("rules").type), schema
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    rows = file.read().to_pylist()
    for row in rows:
        row["started"] = row["started"].isoformat()
        row["ended"] = row["ended"].isoformat() if row["ended"] else None
        for body in ("request_body", "response_body"):
            row[body] = row[body].decode() if row[body] is not None else None
    return rows


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file, strict=True)]


FORMATS = {"har": har, "ocsf": ocsf, "otlp": otlp, "csv": table, "parquet": parquet}
print(json.dumps(FORMATS[sys.argv[1]](sys.argv[2])))
