//! Configuration and what deploys it.

pub(super) const FORMS: &[(&str, &str)] = &[
    (
        "terraform-variables",
        r#"
variable "db_password" {
  type      = string
  default   = "‹password›"
  sensitive = true
}

provider "datadog" {
  api_key = "‹datadog-api-key›"
  app_key = var.datadog_app_key
}

resource "aws_db_instance" "main" {
  engine               = "postgres"
  instance_class       = "db.t3.micro"
  username             = "app"
  password             = "‹password›"
  skip_final_snapshot  = true
}

resource "github_actions_secret" "deploy" {
  repository      = "web"
  secret_name     = "DEPLOY_TOKEN"
  plaintext_value = "‹token›"
}

locals {
  tags = { team = "payments", owner = "‹mail›" }
}
"#,
    ),
    (
        "docker-compose",
        r#"
version: "3.9"
services:
  db:
    image: postgres:16-alpine
    environment:
      POSTGRES_USER: app
      POSTGRES_PASSWORD: ‹password›
      POSTGRES_DB: app
  web:
    build: .
    environment:
      - DATABASE_URL=postgres://app:‹password›@db:5432/app
      - SECRET_KEY_BASE=‹key›
      - SENTRY_AUTH_TOKEN=‹token›
      - RAILS_MAX_THREADS=5
    labels:
      - "traefik.http.routers.web.rule=Host(`acme.dev`)"
  minio:
    command: server /data --console-address ":9001"
    environment: {MINIO_ROOT_USER: minio, MINIO_ROOT_PASSWORD: "‹password›"}
"#,
    ),
    (
        "kubernetes-manifests",
        r#"
apiVersion: v1
kind: Secret
metadata:
  name: api
  namespace: payments
type: Opaque
stringData:
  username: svc-payments
  password: "‹password›"
  api-token: ‹token›
---
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - name: api
          image: registry.acme.dev/api@sha256:~{h64}
          env:
            - name: DB_PASSWORD
              value: ‹password›
            - name: LOG_LEVEL
              value: debug
            - name: STRIPE_KEY
              value: "‹token›"
            - name: JWT_SIGNING_KEY
              value: '‹key›'
            - name: PORT
              value: "8080"
"#,
    ),
    (
        "env-file",
        r#"
# Database
DB_HOST=localhost
DB_PORT=5432
DB_USERNAME=app
DB_PASSWORD=‹password›
DATABASE_URL="mysql://root:‹password›@127.0.0.1:3306/app?charset=utf8"
REDIS_URL=redis://:‹password›@cache:6379/0
AMQP_URL=amqp://guest:‹password›@mq:5672/%2f
MONGO_URI=mongodb+srv://app:‹password›@cluster0.ab1cd.mongodb.net/?retryWrites=true
APP_KEY=base64:‹base64-secret›
MAIL_USERNAME=‹mail›
MAIL_PASSWORD=‹password›
export GITHUB_TOKEN=‹token›
NEXT_PUBLIC_API_URL=https://api.acme.dev/v1
SESSION_SECRET='‹key›'
ENCRYPTION_KEY=‹key›
SENTRY_DSN=https://~{h32}@o~{d6}.ingest.sentry.io/~{d7}
ADMIN_EMAIL=‹mail›
FEATURE_FLAGS=a,b,c
"#,
    ),
    (
        "properties",
        r#"
# application.properties
server.port=8080
spring.datasource.url=jdbc:postgresql://db:5432/app
spring.datasource.username=app
spring.datasource.password=‹password›
spring.mail.password: ‹password›
security.jwt.token.secret-key=‹key›
app.api.key = ‹key›
management.endpoints.web.exposure.include=health,info
spring.security.oauth2.client.registration.google.client-secret=‹google-oauth-client-secret›
cloud.aws.credentials.access-key=‹aws-access-key-id›
cloud.aws.credentials.secret-key=‹aws-secret-access-key›
"#,
    ),
    (
        "xml-config",
        r#"<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <connectionStrings>
    <add name="Default" connectionString="Server=db;Database=app;User Id=sa;Password=‹password&›;" />
  </connectionStrings>
  <appSettings>
    <add key="ApiKey" value="‹key›" />
    <add key="PageSize" value="50" />
    <add key="SmtpPassword" value="‹password&›" />
  </appSettings>
  <server>
    <id>releases</id>
    <username>deploy</username>
    <password>‹password&›</password>
  </server>
  <property name="hibernate.connection.password">‹password&›</property>
  <property name="hibernate.show_sql">false</property>
  <user id="~{d4}"><name>‹name&›</name><email>‹mail›</email><phone>‹phone›</phone></user>
  <token>‹token›</token>
</configuration>
"#,
    ),
    (
        "ansible",
        r#"
- hosts: db
  vars:
    mysql_root_password: "‹password›"
    ansible_become_pass: ‹password›
    ansible_ssh_pass: ‹password›
    vault_token: ‹token›
  tasks:
    - name: create user
      mysql_user: name=app password=‹password› priv='*.*:ALL' state=present
    - name: wait for port
      wait_for: port=3306 timeout=~{d2}
"#,
    ),
    (
        "ci-config",
        r#"
name: deploy
on: {push: {branches: [main]}}
env:
  NPM_TOKEN: ‹npm-token›
  SONAR_TOKEN: "‹token›"
  NODE_ENV: production
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@~{h40}
      - run: echo "//registry.npmjs.org/:_authToken=‹npm-token›" > ~/.npmrc
      - run: docker login -u ci -p "‹password›" registry.acme.dev
      - run: vercel deploy --token=‹key› --prod
      - run: ./gradlew publish -PossrhPassword=‹password› -PossrhUsername=ci
"#,
    ),
    (
        "small-files",
        r#"
# ~/.netrc
machine api.acme.dev login ci password ‹password›
# ~/.pgpass
db.internal:5432:app:svc_app:‹password›
# ~/.aws/credentials
[default]
aws_access_key_id = ‹aws-access-key-id›
region = eu-west-1
# ~/.pypirc
[pypi]
username = __token__
password = ‹pypi-token›
# ~/.git-credentials
https://ci-bot:‹github-pat›@github.com
# ~/.my.cnf
[client]
user=root
password="‹password›"
# ~/.docker/config.json
{"auths": {"registry.acme.dev": {"auth": "‹docker-auth›"}}}
# wg0.conf
[Interface]
PrivateKey = ‹base64-secret›
Address = 10.8.0.~{d1}/24
"#,
    ),
    (
        "json-config",
        r#"
{
  "ConnectionStrings": { "Main": "Host=db;Username=app;Password=‹password\›;Database=app" },
  "Jwt": { "Key": "‹key\›", "Issuer": "acme.dev", "ExpireMinutes": 60 },
  "Smtp": { "Host": "smtp.acme.dev", "User": "‹mail›", "Password": "‹password\›" },
  "Logging": { "LogLevel": { "Default": "Information" } },
  "mcpServers": {
    "github": { "command": "npx", "args": ["-y", "server-github"], "env": { "GITHUB_PERSONAL_ACCESS_TOKEN": "‹github-pat›" } },
    "db": { "command": "db-mcp", "args": ["--dsn", "postgres://ro:‹password\›@db:5432/app"] }
  },
  "users": [ { "id": ~{d5}, "name": "‹name›", "email": "‹mail›", "phone": "‹phone›", "dob": "‹birthday›" } ]
}
"#,
    ),
];
