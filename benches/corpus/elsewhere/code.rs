//! Source code.

pub(super) const FORMS: &[(&str, &str)] = &[
    (
        "pytest-fixture",
        r#"
import pytest
from app.client import ApiClient

@pytest.fixture
def client():
    return ApiClient(base_url="http://localhost:80~{d2}", api_key="‹key›", timeout=30)

@pytest.fixture(scope="session")
def db_config():
    return {"host": "db.internal", "port": 5432, "user": "app", "password": "‹password›", "sslmode": "require"}

@pytest.mark.parametrize("token,expected", [("‹token›", 200), ("expired", 401), ("", 401)])
def test_login(client, token, expected):
    assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == expected

def test_user(client, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "‹password›")
    monkeypatch.setenv("SERVICE_TOKEN", "‹token›")
    user = client.create_user(name="‹name›", email="‹mail›")
    assert user["email"] == "‹mail›"
"#,
    ),
    (
        "python-dicts",
        r#"
CONFIG = {
    'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'NAME': 'orders',
        'USER': 'django',
        'PASSWORD': '‹password›',
        'HOST': '10.0.0.~{d2}',
    },
    'SECRET_KEY': '‹key›',
    'EMAIL_HOST_USER': '‹mail›',
    'EMAIL_HOST_PASSWORD': '‹password›',
    "aws": dict(region="eu-central-1", aws_secret_access_key="‹aws-secret-access-key›"),
}
os.environ["STRIPE_API_KEY"] = "‹token›"
os.environ.setdefault("JWT_SECRET", "‹key›")
conn = psycopg2.connect(host="db", dbname="orders", user="app", password="‹password›")
session.auth = ("admin", "‹password›")
redis.Redis(host='cache', port=6379, db=0, password='‹password›')
"#,
    ),
    (
        "go-struct",
        r#"
package main

type Config struct {
	Addr     string `yaml:"addr"`
	Password string `yaml:"password"`
}

var defaultConfig = Config{
	Addr:     ":80~{d2}",
	Password: "‹password›",
}

var users = []User{
	{ID: ~{d4}, FullName: "‹name›", Email: "‹mail›", Phone: "‹phone›"},
	{ID: ~{d4}, FullName: "‹name›", Email: "‹mail›", Phone: "‹phone›"},
}

func TestClient(t *testing.T) {
	c := NewClient(WithToken("‹token›"), WithRetries(~{d1}))
	t.Setenv("API_TOKEN", "‹key›")
	req.Header.Set("X-Api-Key", "‹key›")
	req.SetBasicAuth("svc-deploy", "‹password›")
	os.Setenv("DATABASE_PASSWORD", "‹password›")
}
"#,
    ),
    (
        "javascript",
        r#"
const { Client } = require('pg');

module.exports = {
  db: { host: 'localhost', port: 5432, user: 'root', password: '‹password›', database: 'app_dev' },
  jwt: { secret: "‹key›", expiresIn: '7d' },
  mailer: { auth: { user: '‹mail›', pass: '‹password›' } },
};

const stripe = require('stripe')('‹token›');
const client = new Client({ connectionString: 'postgres://app:‹password›@db.internal:5432/app' });
localStorage.setItem('access_token', '‹token›');
axios.defaults.headers.common['Authorization'] = 'Bearer ‹token›';
fetch(url, { headers: { 'X-API-KEY': '‹key›', 'Content-Type': 'application/json' } });
app.use(session({ secret: '‹key›', resave: false, saveUninitialized: true }));
process.env.GITHUB_TOKEN = '‹token›';
"#,
    ),
    (
        "java-spring",
        r#"
@Configuration
public class SecurityConfig {
    private static final String JWT_SECRET = "‹key›";
    @Value("${app.timeout:30}")
    private int timeout;

    @Bean
    public DataSource dataSource() {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:mysql://db:3306/app");
        config.setUsername("app");
        config.setPassword("‹password›");
        return new HikariDataSource(config);
    }

    void auth(AuthenticationManagerBuilder auth) {
        auth.inMemoryAuthentication().withUser("admin").password("‹password›").roles("ADMIN");
        System.setProperty("javax.net.ssl.keyStorePassword", "‹password›");
        AWSCredentials c = new BasicAWSCredentials("‹aws-access-key-id›", "‹aws-secret-access-key›");
    }
}
"#,
    ),
    (
        "csharp",
        r#"
var builder = new SqlConnectionStringBuilder { DataSource = "tcp:db.acme.dev,1433", UserID = "sa", Password = "‹password›" };
services.AddDbContext<AppDb>(o => o.UseSqlServer("Server=db;Database=app;User Id=sa;Password=‹password›;Encrypt=true"));
client.DefaultRequestHeaders.Add("Ocp-Apim-Subscription-Key", "‹key›");
client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "‹token›");
var credential = new NetworkCredential("svc", "‹password›");
"#,
    ),
    (
        "ruby-php",
        r#"
ActionMailer::Base.smtp_settings = { user_name: 'apikey', password: '‹token›', domain: 'acme.dev', port: 587 }
Stripe.api_key = '‹token›'
User.create!(name: "‹name›", email: "‹mail›", password: "‹password›", admin: true)
<?php
define('DB_NAME', 'wordpress');
define('DB_PASSWORD', '‹password›');
define( 'AUTH_KEY', '‹key›' );
$mysqli = new mysqli("localhost", "root", "‹password›", "shop");
$config['encryption_key'] = '‹key›';
"#,
    ),
    (
        "rust-tests",
        r#"
#[test]
fn logs_in() {
    let client = Client::new("https://api.acme.dev").with_token("‹token›");
    let body = json!({ "username": "‹mail›", "password": "‹password›" });
    assert_eq!(client.post("/login", &body).status(), 200);
    unsafe { std::env::set_var("APP_SECRET_KEY", "‹key›") };
    let pool = PgPool::connect("postgresql://app:‹password›@127.0.0.1/app").await?;
}
"#,
    ),
    (
        "shell-script",
        r#"
#!/usr/bin/env bash
set -euo pipefail
export AWS_ACCESS_KEY_ID=‹aws-access-key-id›
export DB_PASS='‹password›'
export SLACK_TOKEN="‹token›"
PGPASSWORD=‹password› psql -h db -U app -c 'select 1'
mysql -u root -p‹password› orders < dump.sql
mysqldump --user=backup --password=‹password› --all-databases > all.sql
sshpass -p '‹password›' ssh deploy@10.0.0.~{d2} uptime
echo "‹password›" | docker login -u ci --password-stdin registry.acme.dev
docker login -u ci -p ‹token› registry.acme.dev
redis-cli -h cache -a ‹password› ping
curl -u admin:‹password› https://nexus.acme.dev/service/rest/v1/status
gpg --batch --passphrase ‹password› -d secrets.gpg
openssl enc -aes-256-cbc -k ‹password› -in a -out b
"#,
    ),
];
