//! What secrets look like.
//!
//! Each form is written from its maker's description and from samples in documentation, without a
//! look at the rules that find it, so that a mistake there shows here.

use super::{
    form::fill,
    kind::{Class, Kind, Make, Need},
    random::Random,
};

/// Every kind of secret.
pub(super) fn all() -> Vec<Kind> {
    let by_form = BY_FORM.iter().map(|(family, name, form)| {
        let need = (Need::Nothing, "");
        Kind::new((name, family), Class::Structured, need, Make::Form(form))
    });
    let by_word = BY_WORD.iter().map(|(family, name, words, form)| {
        let need = (Need::Word, *words);
        Kind::new((name, family), Class::Structured, need, Make::Form(form))
    });
    let generic = GENERIC.iter().map(|(name, words, form)| {
        let need = (Need::Key, *words);
        Kind::new((name, "generic"), Class::Generic, need, Make::Form(form))
    });
    let by_code = BY_CODE.iter().map(|(family, name, code)| {
        let need = (Need::Nothing, "");
        Kind::new((name, family), Class::Structured, need, Make::Code(*code))
    });
    by_form
        .chain(by_word)
        .chain(generic)
        .chain(by_code)
        .collect()
}

/// Secrets that are known by their form: family, name, form.
const BY_FORM: &[(&str, &str, &str)] = &[
    // Model providers
    ("ai", "anthropic-api-key", "sk-ant-api03-{s93}AA"),
    ("ai", "anthropic-admin-key", "sk-ant-admin01-{s93}AA"),
    ("ai", "anthropic-oauth-token", "sk-ant-{oat|ort}01-{s93}AA"),
    ("ai", "openai-legacy-key", "sk-{a20}T3BlbkFJ{a20}"),
    ("ai", "openai-project-key", "sk-proj-{s74}T3BlbkFJ{s74}"),
    ("ai", "openai-service-key", "sk-svcacct-{s74}T3BlbkFJ{s74}"),
    ("ai", "openai-admin-key", "sk-admin-{s58}T3BlbkFJ{s58}"),
    ("ai", "openai-short-project-key", "sk-proj-{a48}"),
    ("ai", "deepseek-key", "sk-{h32}"),
    ("ai", "huggingface-token", "hf_{a34}"),
    ("ai", "huggingface-org-token", "api_org_{a34}"),
    ("ai", "groq-key", "gsk_{a52}"),
    ("ai", "xai-key", "xai-{a80}"),
    ("ai", "perplexity-key", "pplx-{a48}"),
    ("ai", "replicate-token", "r8_{a37}"),
    ("ai", "openrouter-key", "sk-or-v1-{h64}"),
    ("ai", "fireworks-key", "fw_{a22-24}"),
    ("ai", "elevenlabs-key", "sk_{h48}"),
    ("ai", "langsmith-key", "lsv2_{pt|sk}_{h32}_{h10}"),
    ("ai", "langfuse-key", "sk-lf-{uuid}"),
    ("ai", "pinecone-key", "pcsk_{a5}_{a63}"),
    ("ai", "google-ai-key", "AIza{s35}"),
    ("ai", "nvidia-key", "nvapi-{s64}"),
    ("ai", "tavily-key", "tvly-{dev-|}{a32}"),
    ("ai", "e2b-key", "e2b_{h40}"),
    ("ai", "voyage-key", "pa-{s43}"),
    ("ai", "jina-key", "jina_{h32}{s28}"),
    ("ai", "cerebras-key", "csk-{L48}"),
    ("ai", "firecrawl-key", "fc-{h32}"),
    ("ai", "runpod-key", "rpa_{U40}{a6}"),
    // Clouds and platforms
    ("cloud", "aws-access-key-id", "{AKIA|ASIA}{U16}"),
    ("cloud", "aws-bedrock-key", "ABSKQmVkcm9ja0FQSUtleS{a110}="),
    ("cloud", "google-oauth-client-secret", "GOCSPX-{s28}"),
    ("cloud", "google-access-token", "ya29.{a0|}{s80-150}"),
    ("cloud", "google-refresh-token", "1//0{d1}{s58-90}"),
    ("cloud", "azure-client-secret", "{a3}{7|8}Q~{s34}"),
    (
        "cloud",
        "azure-storage-key",
        "DefaultEndpointsProtocol=https;AccountName={l8};AccountKey=«{b86}==»;EndpointSuffix=core.windows.net",
    ),
    (
        "cloud",
        "azure-service-bus-key",
        "Endpoint=sb://{l6}.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=«{b43}=»",
    ),
    (
        "cloud",
        "azure-cosmos-key",
        "AccountEndpoint=https://{l6}.documents.azure.com:443/;AccountKey=«{b86}==»;",
    ),
    (
        "cloud",
        "azure-sas",
        "https://{l8}.blob.core.windows.net/files/a.csv?sv=2023-01-03&sr=b&sp=r&sig=«{a43}%3D»",
    ),
    (
        "cloud",
        "aws-presigned-url",
        "https://{l8}.s3.amazonaws.com/a.csv?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260102T030405Z&X-Amz-Signature=«{h64}»",
    ),
    ("cloud", "digitalocean-token", "{dop|doo|dor}_v1_{h64}"),
    ("cloud", "cloudflare-origin-ca-key", "v1.0-{h24}-{h146}"),
    ("cloud", "heroku-api-key", "HRKU-AA{s58}"),
    ("cloud", "alibaba-access-key-id", "LTAI{a20}"),
    ("cloud", "tencent-secret-id", "AKID{a32}"),
    ("cloud", "yandex-api-key", "AQVN{s35-38}"),
    ("cloud", "fly-token", "fo1_{s43}"),
    ("cloud", "render-key", "rnd_{a28}"),
    ("cloud", "netlify-token", "nfp_{a36}"),
    ("cloud", "supabase-access-token", "sbp_{h40}"),
    ("cloud", "supabase-secret-key", "sb_secret_{s31}"),
    ("cloud", "neon-key", "napi_{L64}"),
    ("cloud", "planetscale-token", "pscale_tkn_{s43}"),
    ("cloud", "planetscale-password", "pscale_pw_{s43}"),
    (
        "cloud",
        "tailscale-key",
        "tskey-{auth|api|client}-{a12}CNTRL-{a32}",
    ),
    ("cloud", "databricks-token", "dapi{h32}{|-2}"),
    ("cloud", "openshift-token", "sha256~{s43}"),
    ("cloud", "scaleway-access-key", "SCW{U17}"),
    ("cloud", "terraform-cloud-token", "{a14}.atlasv1.{s67}"),
    ("cloud", "vault-token", "hvs.{s90-120}"),
    ("cloud", "vault-batch-token", "hvb.{s138-160}"),
    ("cloud", "doppler-token", "dp.{pt|sa|ct}.{a43}"),
    ("cloud", "doppler-service-token", "dp.st.{dev|prd}.{a43}"),
    ("cloud", "pulumi-token", "pul-{h40}"),
    ("cloud", "onepassword-service-token", "ops_eyJ{s250}"),
    // Forges
    ("forge", "github-pat", "ghp_{a36}"),
    ("forge", "github-fine-grained-pat", "github_pat_{a22}_{a59}"),
    ("forge", "github-oauth-token", "gho_{a36}"),
    ("forge", "github-user-token", "ghu_{a36}"),
    ("forge", "github-server-token", "ghs_{a36}"),
    ("forge", "github-refresh-token", "ghr_{a36}"),
    ("forge", "gitlab-pat", "glpat-{s20}"),
    ("forge", "gitlab-routable-pat", "glpat-{s27}.{d2}.{L9}"),
    ("forge", "gitlab-oauth-secret", "gloas-{h64}"),
    ("forge", "gitlab-deploy-token", "gldt-{s20}"),
    ("forge", "gitlab-runner-token", "glrt-{s20}"),
    ("forge", "gitlab-registration-token", "GR1348941{s20}"),
    ("forge", "gitlab-ci-job-token", "glcbt-{h2}_{s20}"),
    ("forge", "gitlab-trigger-token", "glptt-{h40}"),
    ("forge", "gitlab-agent-token", "glagent-{s50}"),
    ("forge", "gitlab-feed-token", "glft-{s20}"),
    ("forge", "gitlab-scim-token", "glsoat-{s20}"),
    ("forge", "gitlab-mail-token", "glimt-{s25}"),
    ("forge", "gitlab-flags-token", "glffct-{s20}"),
    ("forge", "bitbucket-app-password", "ATBB{a32}"),
    ("forge", "atlassian-token", "ATATT3xFfGF0{s172}={H8}"),
    (
        "forge",
        "bitbucket-repository-token",
        "ATCTT3xFfGN0{s172}={H8}",
    ),
    // Continuous integration
    ("ci", "circleci-token", "CCIPAT_{a22}_{h40}"),
    ("ci", "circleci-project-token", "CCIPRJ_{a22}_{h40}"),
    ("ci", "buildkite-token", "bkua_{h40}"),
    ("ci", "sonarqube-token", "{sqp|squ|sqa}_{h40}"),
    ("ci", "harness-token", "pat.{s22}.{h24}.{a20}"),
    ("ci", "prefect-key", "pnu_{L36}"),
    // Registries of packages
    ("registry", "npm-token", "npm_{a36}"),
    (
        "registry",
        "npmrc-auth-token",
        "//registry.npmjs.org/:_authToken=«{uuid}»",
    ),
    ("registry", "pypi-token", "pypi-AgEIcHlwaS5vcmc{s150-180}"),
    ("registry", "rubygems-key", "rubygems_{h48}"),
    ("registry", "crates-io-token", "cio{a32}"),
    ("registry", "nuget-key", "oy2{L43}"),
    ("registry", "docker-hub-token", "dckr_pat_{s27}"),
    ("registry", "jfrog-key", "AKCp{a69}"),
    ("registry", "clojars-token", "CLOJARS_{h60}"),
    // Payment
    ("payment", "stripe-secret-key", "sk_{live|test}_{a24}"),
    (
        "payment",
        "stripe-long-secret-key",
        "sk_{live|test}_51{a97}",
    ),
    (
        "payment",
        "stripe-restricted-key",
        "rk_{live|test}_{a24-99}",
    ),
    ("payment", "stripe-webhook-secret", "whsec_{a32}"),
    ("payment", "square-token", "EAAA{s60}"),
    ("payment", "square-personal-token", "sq0atp-{s22}"),
    ("payment", "square-secret", "sq0csp-{s43}"),
    (
        "payment",
        "braintree-token",
        "access_token$production${L16}${h32}",
    ),
    ("payment", "shopify-token", "{shpat|shpca|shppa}_{h32}"),
    ("payment", "shopify-shared-secret", "shpss_{h32}"),
    ("payment", "flutterwave-key", "FLWSECK_TEST-{h32}-X"),
    (
        "payment",
        "plaid-token",
        "access-{sandbox|production}-{uuid}",
    ),
    ("payment", "easypost-key", "EZ{AK|TK}{a54}"),
    ("payment", "paystack-key", "sk_{live|test}_{h40}"),
    (
        "payment",
        "mercadopago-token",
        "APP_USR-{d16}-{d6}-{h32}-{d9}",
    ),
    ("payment", "adyen-key", "AQE{a90}"),
    // Messaging
    ("messaging", "slack-bot-token", "xoxb-{d12}-{d13}-{a24}"),
    (
        "messaging",
        "slack-user-token",
        "xoxp-{d12}-{d12}-{d13}-{h32}",
    ),
    ("messaging", "slack-app-token", "xapp-1-A{U10}-{d13}-{h64}"),
    (
        "messaging",
        "slack-webhook",
        "https://hooks.slack.com/services/«T{U10}/B{U10}/{a24}»",
    ),
    (
        "messaging",
        "discord-bot-token",
        "{MT|MTA|NzI|OD}{a22}.{s6}.{s38}",
    ),
    (
        "messaging",
        "discord-webhook",
        "https://discord.com/api/webhooks/{d18}/«{s68}»",
    ),
    ("messaging", "telegram-bot-token", "{d10}:AA{s33}"),
    ("messaging", "twilio-api-key", "SK{h32}"),
    ("messaging", "sendgrid-key", "SG.{s22}.{s43}"),
    ("messaging", "mailgun-key", "key-{h32}"),
    ("messaging", "mailchimp-key", "{h32}-us{d2}"),
    ("messaging", "resend-key", "re_{a8}_{a24}"),
    ("messaging", "brevo-key", "xkeysib-{h64}-{a16}"),
    (
        "messaging",
        "teams-webhook",
        "https://{l6}.webhook.office.com/webhookb2/«{uuid}@{uuid}/IncomingWebhook/{h32}/{uuid}»",
    ),
    (
        "messaging",
        "zapier-webhook",
        "https://«hooks.zapier.com/hooks/catch/{d8}/{L7}»",
    ),
    // Services
    ("saas", "linear-key", "lin_api_{a40}"),
    ("saas", "notion-token", "secret_{a43}"),
    ("saas", "notion-new-token", "ntn_{a46}"),
    ("saas", "airtable-token", "pat{a14}.{h64}"),
    ("saas", "figma-token", "figd_{s40}"),
    ("saas", "postman-key", "PMAK-{h24}-{h34}"),
    ("saas", "hubspot-token", "pat-{na1|eu1}-{uuid}"),
    ("saas", "typeform-token", "tfp_{s59}"),
    ("saas", "contentful-token", "CFPAT-{s43}"),
    ("saas", "dropbox-token", "sl.{s135}"),
    ("saas", "mapbox-token", "sk.eyJ1Ijoi{a70}.{s22}"),
    ("saas", "duffel-token", "duffel_{test|live}_{s43}"),
    ("saas", "segment-token", "sgp_{a64}"),
    ("saas", "launchdarkly-sdk-key", "sdk-{uuid}"),
    ("saas", "posthog-key", "phx_{a43}"),
    ("saas", "readme-key", "rdme_{L70}"),
    ("saas", "frameio-token", "fio-u-{s64}"),
    ("saas", "shippo-token", "shippo_{live|test}_{h40}"),
    // What watches over systems
    ("monitoring", "sentry-org-token", "sntrys_eyJ{b90}"),
    ("monitoring", "sentry-user-token", "sntryu_{h64}"),
    ("monitoring", "new-relic-key", "NRAK-{U27}"),
    ("monitoring", "grafana-service-token", "glsa_{a32}_{h8}"),
    ("monitoring", "grafana-cloud-token", "glc_eyJ{a90}"),
    ("monitoring", "dynatrace-token", "dt0c01.{U24}.{U64}"),
    // Databases and addresses
    (
        "database",
        "postgres-url",
        "postgres{ql|}://{l6}:«{a16}»@db.{l5}.internal:5432/app",
    ),
    (
        "database",
        "mysql-url",
        "mysql://{l6}:«{a12}»@10.0.3.7:3306/shop",
    ),
    (
        "database",
        "mongodb-url",
        "mongodb+srv://{l6}:«{a18}»@cluster0.{L5}.mongodb.net/app",
    ),
    (
        "database",
        "redis-url",
        "redis://:«{a24}»@cache.internal:6379/0",
    ),
    (
        "database",
        "amqp-url",
        "amqp://{l6}:«{p14}»@mq.internal:5672/",
    ),
    (
        "database",
        "clickhouse-url",
        "clickhouse://{l6}:«{a14}»@ch.internal:9000/logs",
    ),
    (
        "database",
        "https-userinfo",
        "https://{l6}:«{a20}»@git.acme.dev/team/app.git",
    ),
    (
        "database",
        "ftp-userinfo",
        "ftp://{l6}:«{a12}»@files.acme.dev/in",
    ),
    (
        "database",
        "ado-connection-string",
        "Server=db1.acme.dev,1433;Database=shop;User Id=app;Password=«{p16}»;Encrypt=True",
    ),
    (
        "database",
        "jdbc-url",
        "jdbc:postgresql://db.acme.dev:5432/app?user=app&password=«{a16}»",
    ),
    // Keys and identities
    (
        "identity",
        "jwt",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI{a40}.{s43}",
    ),
    (
        "identity",
        "jwt-rs256",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczov{a120}.{s342}",
    ),
    ("identity", "age-secret-key", "AGE-SECRET-KEY-1{U58}"),
    (
        "identity",
        "bearer-header",
        "Authorization: Bearer «{s40-60}»",
    ),
    ("identity", "api-key-header", "X-Api-Key: «{a32}»"),
];

/// Secrets that are known by a word before them: family, name, words, form.
const BY_WORD: &[(&str, &str, &str, &str)] = &[
    ("ai", "mistral-key", "mistral api key", "{a32}"),
    ("ai", "cohere-key", "cohere api key|cohere token", "{a40}"),
    ("ai", "together-key", "together api key", "{h64}"),
    ("ai", "deepgram-key", "deepgram api key", "{h40}"),
    ("ai", "assemblyai-key", "assemblyai api key", "{h32}"),
    ("ai", "wandb-key", "wandb api key", "{h40}"),
    (
        "ai",
        "azure-openai-key",
        "azure openai api key|azure openai key",
        "{h32}",
    ),
    (
        "cloud",
        "aws-secret-access-key",
        "aws secret access key|aws secret key",
        "{b40}",
    ),
    (
        "cloud",
        "aws-session-token",
        "aws session token",
        "{b300}==",
    ),
    (
        "cloud",
        "cloudflare-token",
        "cloudflare api token|cf api token",
        "{s40}",
    ),
    (
        "cloud",
        "cloudflare-global-key",
        "cloudflare api key|cloudflare global api key",
        "{h37}",
    ),
    ("cloud", "heroku-uuid-key", "heroku api key", "{uuid}"),
    (
        "cloud",
        "linode-token",
        "linode token|linode api token",
        "{h64}",
    ),
    ("cloud", "vultr-key", "vultr api key", "{U36}"),
    (
        "cloud",
        "hetzner-token",
        "hcloud token|hetzner api token",
        "{a64}",
    ),
    (
        "cloud",
        "scaleway-secret-key",
        "scw secret key|scaleway secret key",
        "{uuid}",
    ),
    (
        "cloud",
        "alibaba-secret",
        "alibaba access key secret|aliyun secret key",
        "{a30}",
    ),
    (
        "cloud",
        "tencent-secret-key",
        "tencentcloud secret key",
        "{a32}",
    ),
    (
        "cloud",
        "ibm-cloud-key",
        "ibm cloud api key|ibmcloud api key",
        "{s44}",
    ),
    ("cloud", "railway-token", "railway token", "{uuid}"),
    ("cloud", "vercel-token", "vercel token", "{a24}"),
    ("cloud", "consul-token", "consul http token", "{uuid}"),
    (
        "forge",
        "azure-devops-pat",
        "azure devops pat|azure devops token",
        "{L52}",
    ),
    (
        "forge",
        "gitea-token",
        "gitea token|gitea access token",
        "{h40}",
    ),
    (
        "ci",
        "circleci-old-token",
        "circleci token|circle token",
        "{h40}",
    ),
    (
        "ci",
        "travis-token",
        "travis token|travis api token",
        "{a22}",
    ),
    ("ci", "drone-token", "drone token", "{a32}"),
    ("ci", "codecov-token", "codecov token", "{uuid}"),
    (
        "ci",
        "jenkins-token",
        "jenkins api token|jenkins token",
        "11{h32}",
    ),
    ("ci", "snyk-token", "snyk token|snyk api key", "{uuid}"),
    (
        "payment",
        "paypal-secret",
        "paypal client secret|paypal secret",
        "E{s79}",
    ),
    ("payment", "plaid-secret", "plaid secret", "{h30}"),
    (
        "payment",
        "razorpay-secret",
        "razorpay key secret|razorpay secret",
        "{a24}",
    ),
    ("payment", "coinbase-secret", "coinbase api secret", "{a32}"),
    (
        "messaging",
        "twilio-auth-token",
        "twilio auth token",
        "{h32}",
    ),
    (
        "messaging",
        "mailjet-secret",
        "mailjet secret key|mailjet api secret",
        "{h32}",
    ),
    (
        "messaging",
        "postmark-token",
        "postmark server token|postmark api token",
        "{uuid}",
    ),
    (
        "messaging",
        "messagebird-key",
        "messagebird api key|messagebird access key",
        "{a25}",
    ),
    (
        "messaging",
        "slack-signing-secret",
        "slack signing secret",
        "{h32}",
    ),
    (
        "messaging",
        "discord-client-secret",
        "discord client secret",
        "{s32}",
    ),
    (
        "saas",
        "algolia-key",
        "algolia api key|algolia admin key",
        "{h32}",
    ),
    ("saas", "okta-token", "okta token|okta api token", "00{s40}"),
    ("saas", "auth0-secret", "auth0 client secret", "{s64}"),
    (
        "saas",
        "zendesk-token",
        "zendesk token|zendesk api token",
        "{a40}",
    ),
    (
        "saas",
        "asana-token",
        "asana token|asana access token",
        "1/{d16}:{h32}",
    ),
    (
        "saas",
        "fastly-token",
        "fastly api token|fastly api key",
        "{s32}",
    ),
    (
        "saas",
        "trello-token",
        "trello token|trello api token",
        "{h64}",
    ),
    (
        "monitoring",
        "datadog-api-key",
        "datadog api key|dd api key",
        "{h32}",
    ),
    (
        "monitoring",
        "datadog-app-key",
        "datadog app key|dd app key",
        "{h40}",
    ),
    (
        "monitoring",
        "pagerduty-key",
        "pagerduty api key|pagerduty token",
        "{a20}",
    ),
    (
        "monitoring",
        "splunk-hec-token",
        "splunk token|splunk hec token",
        "{uuid}",
    ),
    (
        "monitoring",
        "rollbar-token",
        "rollbar access token",
        "{h32}",
    ),
    (
        "monitoring",
        "new-relic-license",
        "new relic license key",
        "{h36}NRAL",
    ),
    ("monitoring", "opsgenie-key", "opsgenie api key", "{uuid}"),
];

/// Secrets that only their key tells: name, words, form.
const GENERIC: &[(&str, &str, &str)] = &[
    (
        "password",
        "password|db password|smtp password|admin password|user password",
        "{p10-20}",
    ),
    (
        "passwd",
        "passwd|mysql passwd|root passwd|pwd|db pwd",
        "{p10-16}",
    ),
    (
        "hex-secret",
        "secret|client secret|app secret|webhook secret",
        "{h32-64}",
    ),
    (
        "base64-secret",
        "secret key|secret key base|encryption key|master key",
        "{b43}=",
    ),
    (
        "api-key",
        "api key|apikey|x api key|service api key",
        "{a24-40}",
    ),
    (
        "access-token",
        "access token|auth token|refresh token|api token",
        "{s32-64}",
    ),
    (
        "signing-secret",
        "signing secret|jwt secret|session secret|cookie secret",
        "{a32-48}",
    ),
    (
        "passphrase",
        "passphrase|ssh passphrase|key passphrase",
        "{p14-24}",
    ),
    ("private-key-value", "private key|signing key", "{b64}"),
    ("uuid-secret", "client secret|api secret|api key", "{uuid}"),
];

/// Secrets that need more than a form: family, name, code.
type Code = fn(&mut Random) -> String;
const BY_CODE: &[(&str, &str, Code)] = &[
    ("identity", "rsa-private-key", |random| {
        pem("RSA PRIVATE KEY", random)
    }),
    ("identity", "ec-private-key", |random| {
        pem("EC PRIVATE KEY", random)
    }),
    ("identity", "pkcs8-private-key", |random| {
        pem("PRIVATE KEY", random)
    }),
    ("identity", "openssh-private-key", |random| {
        pem("OPENSSH PRIVATE KEY", random)
    }),
    ("identity", "basic-header", basic),
    ("cloud", "google-service-account", service_account),
];

/// A private key in its PEM form (RFC 7468).
fn pem(label: &str, random: &mut Random) -> String {
    let mut body = String::new();
    for _ in 0..random.within(4, 12) {
        body.push_str(&fill("{b64}\n", random));
    }
    body.push_str(&fill("{b36}==", random));
    format!("-----BEGIN {label}-----\n«{body}»\n-----END {label}-----")
}

/// `Authorization: Basic` (RFC 7617).
fn basic(random: &mut Random) -> String {
    let pair = fill("{l4-8}:{a12-20}", random);
    format!("Authorization: Basic «{}»", base64(pair.as_bytes()))
}

/// The part of a service account's file that gives access.
fn service_account(random: &mut Random) -> String {
    let body: String = (0..8).map(|_| fill("{b64}\\n", random)).collect();
    let id = random.hex(40);
    format!(
        "{{\n  \"type\": \"service_account\",\n  \"private_key_id\": \"{id}\",\n  \"private_key\": \
         \"-----BEGIN PRIVATE KEY-----\\n«{body}»-----END PRIVATE KEY-----\\n\"\n}}"
    )
}

/// Standard base64 with padding (RFC 4648 §4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place) & 63) as usize;
            let letter = char::from(ALPHABET[index]);
            out.push(if place > group.len() { '=' } else { letter });
        }
    }
    out
}
