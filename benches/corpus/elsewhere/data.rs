//! Tables, logs and what goes over wires.

pub(super) const FORMS: &[(&str, &str)] = &[
    (
        "csv-people",
        r#"id,first_name,last_name,email,phone,date_of_birth,iban,plan,amount
~{d5},‹first›,‹last›,‹mail›,‹phone›,‹birthday›,‹iban›,pro,~{d3}.~{d2}
~{d5},‹first›,‹last›,‹mail›,‹phone›,‹birthday›,‹iban›,free,~{d2}.~{d2}
~{d5},‹first›,‹last›,‹mail›,‹phone›,‹birthday›,‹iban›,free,0.00
"#,
    ),
    (
        "csv-secrets",
        r#"service,username,password,api_key,created
billing,svc-billing,‹password›,‹token›,2026-01-~{1|2}~{d1}
search,svc-search,‹password›,‹token›,2026-02-~{1|2}~{d1}
"#,
    ),
    (
        "csv-numbers",
        r#"customer_id;ssn;card_number;routing_number;country
~{d6};‹us-ssn›;‹card-spaced›;‹us-routing-number›;US
~{d6};‹us-ssn›;‹card›;‹us-routing-number›;US
"#,
    ),
    (
        "log-lines",
        r#"
2026-03-1~{d1}T1~{d1}:2~{d1}:3~{d1}.~{d3}Z INFO  auth user=‹mail› ip=‹ipv4› action=login status=ok
2026-03-1~{d1}T1~{d1}:2~{d1}:3~{d1}.~{d3}Z DEBUG http > GET /v1/me Authorization: Bearer ‹token›
2026-03-1~{d1}T1~{d1}:2~{d1}:3~{d1}.~{d3}Z ERROR db connection to postgresql://app:‹password›@db:5432/app refused after ~{d2}ms
2026-03-1~{d1} 1~{d1}:2~{d1}:3~{d1},~{d3} [worker-~{d1}] WARN  c.a.Mailer - cannot send to <‹mail›>: 550 no such user
‹ipv4› - - [1~{d1}/Mar/2026:1~{d1}:2~{d1}:3~{d1} +0000] "POST /oauth/token?client_secret=‹key%› HTTP/1.1" 200 ~{d4} "-" "curl/8.5.0"
Mar 1~{d1} 1~{d1}:2~{d1}:3~{d1} web-~{d2} sshd[~{d5}]: Accepted publickey for deploy from ‹ipv4› port ~{d5} ssh2
{"level":"warn","msg":"bad login","user":"‹mail›","password":"‹password›","request_id":"~{uuid}"}
level=error msg="payment declined" card="‹card-spaced›" amount=~{d2}.~{d2} order=~{d8}
"#,
    ),
    (
        "sql-inserts",
        r#"
INSERT INTO users (id, full_name, email, phone, password) VALUES
  (~{d4}, '‹name›', '‹mail›', '‹phone›', '‹password›'),
  (~{d4}, '‹name›', '‹mail›', '‹phone›', '‹password›');
CREATE USER app WITH ENCRYPTED PASSWORD '‹password›';
ALTER ROLE reporting PASSWORD '‹password›';
CREATE USER 'svc'@'%' IDENTIFIED BY '‹password›';
SET PASSWORD FOR 'root'@'localhost' = PASSWORD('‹password›');
UPDATE customers SET ssn = '‹us-ssn›', card_number = '‹card›' WHERE id = ~{d5};
INSERT INTO api_keys VALUES (~{d3}, 'ci', '‹token›', now());
SELECT * FROM orders WHERE total > ~{d3}.~{d2} AND sku = '~{U8}';
"#,
    ),
    (
        "curl-commands",
        r#"
curl -X POST https://api.acme.dev/v1/login -H 'Content-Type: application/json' -d '{"email":"‹mail›","password":"‹password›"}'
curl -u 'admin:‹password›' https://es.acme.dev:9200/_cat/indices
curl --user deploy:‹password› -T app.jar https://nexus.acme.dev/repository/releases/
curl -H "Authorization: token ‹github-pat›" https://api.github.com/user
curl -H 'PRIVATE-TOKEN: ‹gitlab-pat›' "https://gitlab.acme.dev/api/v4/projects?per_page=~{d2}"
curl "https://maps.acme.dev/api/geocode/json?address=Berlin&key=‹google-ai-key›"
curl -G https://api.acme.dev/v2/search --data-urlencode 'q=shoes' -d api_key=‹key›
curl -b 'session=‹key›; theme=dark' https://acme.dev/account
http POST acme.dev/login username=‹mail› password=‹password›
wget --header="X-Api-Key: ‹key›" --user=ci --password=‹password› https://files.acme.dev/a.tgz
"#,
    ),
    (
        "urls",
        r#"
https://acme.dev/reset?token=‹key%›&email=‹mail%›
https://acme.dev/callback#access_token=‹token%›&token_type=bearer&expires_in=3600
https://acme.dev/signup?first_name=‹first%›&last_name=‹last%›&phone=‹phone%›&plan=pro
https://hooks.acme.dev/in?secret=‹password%›&v=~{d1}
ftp://ftpuser:‹password%›@files.acme.dev/pub
https://acme.dev/pay?card=‹card-spaced%›&iban=‹iban-spaced%›&ref=~{U8}
https://acme.dev/kyc?tfn=‹australia-tfn%›&aadhaar=‹india-aadhaar%›&nhs=‹uk-nhs%›
https://acme.dev/files/~{h32}/report-~{d4}.pdf?version=~{d2}
postgres://app:‹password%›@db.acme.dev/app?sslmode=require
"#,
    ),
    (
        "http-exchange",
        r#"
POST /api/v2/session HTTP/1.1
Host: acme.dev
User-Agent: okhttp/4.12.0
Cookie: sessionid=‹key›; csrftoken=‹key›
Authorization: Basic ‹basic›
X-Auth-Token: ‹key›
Content-Type: application/x-www-form-urlencoded

username=‹mail%›&password=‹password%›&remember=1

HTTP/1.1 200 OK
Set-Cookie: auth=‹jwt›; Path=/; HttpOnly
Content-Type: application/json
ETag: W/"~{h32}"

{"access_token":"‹jwt›","token_type":"Bearer","expires_in":3600,"refresh_token":"‹key›"}
"#,
    ),
    (
        "json-escaped",
        r#"{"role":"user","content":"here is the file:\n\n{\n  \"db\": {\n    \"password\": \"‹password\›\",\n    \"host\": \"db\"\n  },\n  \"token\": \"‹token\›\",\n  \"email\": \"‹mail›\"\n}\n\nDB_PASSWORD=‹password\›\nAPI_KEY=\"‹key\›\"\n"}
"#,
    ),
    (
        "json-twice",
        r#"{"type":"tool_result","content":"{\"stdout\":\"{\\\"user\\\":\\\"‹mail›\\\",\\\"apiKey\\\":\\\"‹key›\\\",\\\"card\\\":\\\"‹card›\\\"}\\n\",\"exit\":0}"}
"#,
    ),
    (
        "html-form",
        r#"
<form action="/register" method="post">
  <input type="hidden" name="csrf_token" value="‹key›">
  <label>Name</label><input type="text" name="full_name" value="‹name&›">
  <input type="email" name="email" value="‹mail›">
  <input type="tel" id="phone" value="‹phone›">
  <input name="password" type="password" value="‹password&›">
  <input type="text" name="quantity" value="~{d2}">
  <script>window.__CONFIG__ = {"apiKey": "‹google-ai-key›", "env": "prod"};</script>
  <meta name="api-token" content="‹token›">
  <p>Contact: <a href="mailto:‹mail›">‹mail›</a> or <a href="tel:‹phone-e164›">call</a></p>
</form>
"#,
    ),
    (
        "markdown-tables",
        r#"
| user | email | password | role |
|------|-------|----------|------|
| admin | ‹mail› | `‹password›` | owner |
| ci | ‹mail› | `‹password›` | bot |

| name | phone | IBAN |
|---|---|---|
| ‹name› | ‹phone› | ‹iban-spaced› |
"#,
    ),
    (
        "psql-table",
        r#"
  id  |     full_name      |            email            |      ssn      | total
------+--------------------+-----------------------------+---------------+--------
 ~{d4} | ‹name›       | ‹mail› | ‹us-ssn›   | ~{d3}.~{d2}
 ~{d4} | ‹name›       | ‹mail› | ‹us-ssn›   |  ~{d2}.~{d2}
(2 rows)
"#,
    ),
    (
        "vcard",
        r#"
BEGIN:VCARD
VERSION:3.0
FN:‹name›
EMAIL;TYPE=work:‹mail›
TEL;TYPE=cell:‹phone›
BDAY:‹birthday›
END:VCARD
"#,
    ),
    (
        "yaml-people",
        r#"
customers:
  - id: ~{d6}
    first_name: ‹first›
    last_name: "‹last›"
    email: ‹mail›
    phone: "‹phone›"
    date_of_birth: ‹birthday›
    iban: ‹iban›
    tier: gold
  - { id: ~{d6}, full_name: "‹name›", email: ‹mail›, ssn: "‹us-ssn›" }
"#,
    ),
];
