//! Columns that somebody wants to keep an eye on.

use tollbook_sql::{Dialect, Settings, Statements};

/// What protected columns a text uses: `users.ssn` and `email`, wherever it is.
fn uses(text: &str) -> Vec<String> {
    let settings = Settings {
        protected_columns: ["users.ssn", "email"].map(str::to_owned).into(),
        ..Settings::default()
    };
    let read = Statements::read(Dialect::Postgres, text, &settings);
    assert!(!read.any_unknown(), "{read:?}");
    let uses = read.iter().flat_map(|statement| &statement.protected);
    uses.map(|of| format!("{of} {}", of.place.as_str()))
        .collect()
}

#[test]
fn a_protected_column_is_found_wherever_it_is_used() {
    assert_eq!(uses("SELECT name FROM users WHERE id = 7"), [""; 0]);
    assert_eq!(uses("SELECT ssn FROM users"), ["users.ssn output"]);
    assert_eq!(
        uses("SELECT u.ssn AS x FROM app.users u"),
        ["users.ssn output"]
    );
    assert_eq!(
        uses("SELECT upper(ssn) FROM users"),
        ["users.ssn expression"]
    );
    assert_eq!(
        uses("SELECT id FROM users WHERE ssn LIKE '1%'"),
        ["users.ssn where"]
    );
    assert_eq!(
        uses("SELECT id FROM users ORDER BY ssn"),
        ["users.ssn order"]
    );
    assert_eq!(
        uses("SELECT count(*) FROM users GROUP BY ssn HAVING max(ssn) > '5'"),
        ["users.ssn where", "users.ssn group"]
    );
    assert_eq!(
        uses("SELECT s.id FROM staff s JOIN users u ON u.ssn = s.nr"),
        ["users.ssn join"]
    );
    assert_eq!(
        uses("SELECT id FROM staff JOIN users USING (ssn)"),
        ["users.ssn join"]
    );
    assert_eq!(
        uses("DELETE FROM users WHERE ssn = $1 RETURNING id"),
        ["users.ssn where"]
    );
    assert_eq!(
        uses("UPDATE users SET ssn = $1 WHERE id = 7"),
        ["users.ssn written"]
    );
    assert_eq!(
        uses("UPDATE users SET note = ssn WHERE id = 7"),
        ["users.ssn expression"]
    );
    assert_eq!(
        uses("INSERT INTO users (id, ssn) VALUES (1, 'x')"),
        ["users.ssn written"]
    );
    assert_eq!(uses("COPY users (id, ssn) TO STDOUT"), ["users.ssn output"]);
}

#[test]
fn all_columns_are_the_protected_ones_too() {
    let output = ["email output", "users.ssn output"];
    assert_eq!(uses("SELECT * FROM users"), output);
    assert_eq!(uses("SELECT u.* FROM users u, staff"), output);
    assert_eq!(uses("SELECT u FROM users u"), output);
    assert_eq!(uses("COPY users TO STDOUT"), output);
    assert_eq!(uses("DELETE FROM users WHERE id = 7 RETURNING *"), output);
    assert_eq!(uses("SELECT * FROM staff"), ["email output"]);
    assert_eq!(
        uses("SELECT to_jsonb(u) FROM users u"),
        ["email expression", "users.ssn expression"]
    );
    assert_eq!(
        uses("WITH x AS (SELECT * FROM users) SELECT id FROM x"),
        output
    );
    assert_eq!(uses("SELECT count(*) FROM users"), [""; 0]);
}

#[test]
fn names_that_hide_a_column_do_not() {
    assert_eq!(
        uses("SELECT s FROM (SELECT ssn AS s FROM users) x ORDER BY s"),
        ["users.ssn output"]
    );
    assert_eq!(
        uses("SELECT ssn AS s FROM users ORDER BY s"),
        ["users.ssn output", "users.ssn order"]
    );
    assert_eq!(
        uses("SELECT id, ssn FROM users ORDER BY 2"),
        ["users.ssn output", "users.ssn order"]
    );
    assert_eq!(
        uses("SELECT id FROM users WHERE id IN (SELECT ssn FROM staff)"),
        ["users.ssn output"],
        "of the outer table"
    );
    assert_eq!(
        uses(r#"SELECT "ssn", U&"\0073sn" FROM users"#),
        ["users.ssn output"]
    );
    assert_eq!(
        uses("SELECT s.ssn FROM staff s, users"),
        [""; 0],
        "another table's"
    );
    assert_eq!(
        uses("SELECT x.ssn FROM (SELECT * FROM users) x"),
        ["email output", "users.ssn output"]
    );
}
