//! What passes is what the server says, and what is recorded.

use serde_json::json;
use tollbook_wire_postgres::Frame;

use crate::support::{
    Client, World, bind, bind_as, close, describe, document, execute, flush, lines, parse, server,
    sync, told,
};

/// Sends the same series of messages to the server and through the gate and wants the same answers.
async fn same(world: &World, series: &[(&[Frame], usize)]) -> Vec<String> {
    let (mut direct, mut gate) = (Client::without().await, world.client().await);
    let mut all = Vec::new();
    for (frames, ready) in series {
        direct.send(frames.iter().cloned()).await;
        gate.send(frames.iter().cloned()).await;
        let one = direct.until_ready(*ready).await;
        let other = gate.until_ready(*ready).await;
        assert_eq!(told(&one), told(&other));
        all.extend(told(&one));
    }
    drop(direct);
    gate.end().await;
    all
}

fn query(text: &str) -> Frame {
    tollbook_wire_postgres::query(text).unwrap()
}

#[tokio::test]
async fn a_text_of_several_statements_is_one_exchange() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let got = same(
        &world,
        &[
            (&[query("SELECT 1 AS a, 'x' AS b; SELECT NULL AS c")], 1),
            (&[query("")], 1),
            (&[query("SELECT 1/0")], 1),
            (&[query("BEGIN; SELECT nothing")], 1),
            (&[query("SELECT 1")], 1),
            (&[query("ROLLBACK")], 1),
        ],
    )
    .await;
    assert!(got.contains(&"D 1|x".to_owned()));
    let all = world.exchanges(6).await;
    assert_eq!(all.len(), 6);
    let first = &all[0];
    assert_eq!(
        document(first),
        json!({"statement": "SELECT 1 AS a, 'x' AS b; SELECT NULL AS c"})
    );
    assert_eq!(
        lines(first),
        [
            json!({"columns": [{"name": "a", "type": "int4"}, {"name": "b", "type": "text"}]}),
            json!(["1", "x"]),
            json!({"command": "SELECT 1"}),
            json!({"columns": [{"name": "c", "type": "text"}]}),
            json!([null]),
            json!({"command": "SELECT 1"}),
        ]
    );
    assert_eq!(first["outcome"], "complete");
    assert_eq!(first["level"], "release");
    assert_eq!(first["rows"], 2);
    assert_eq!(first["action"]["statement_class"], "read");
    assert_eq!(all[2]["outcome"], "upstream_error");
    assert_eq!(all[2]["sqlstate"], "22012");
    assert_eq!(all[4]["sqlstate"], "25P02");
}

#[tokio::test]
async fn a_prepared_statement_is_one_text_and_many_executions() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let mut series: Vec<(Vec<Frame>, usize)> = vec![(
        vec![
            parse("add", "SELECT $1::int4 + 1 AS more, $2::text AS said"),
            describe(b'S', "add"),
            sync(),
        ],
        1,
    )];
    for (index, formats) in [&[][..], &[1], &[0, 1]].into_iter().enumerate() {
        let number = index.to_string();
        let bound = bind_as("", "add", &[Some(&number), Some("hello")], formats);
        series.push((vec![bound, execute("", 0), sync()], 1));
    }
    // Never described by the client, and more than once executed.
    series.push((
        vec![
            parse("", "SELECT generate_series(1, 3) AS n"),
            bind("p", "", &[]),
            execute("p", 2),
            execute("p", 2),
            sync(),
        ],
        1,
    ));
    let series: Vec<(&[Frame], usize)> = series
        .iter()
        .map(|(frames, ready)| (&frames[..], *ready))
        .collect();
    same(&world, &series).await;
    let all = world.exchanges(5).await;
    assert_eq!(all.len(), 5);
    for (index, exchange) in all[..3].iter().enumerate() {
        let asked = document(exchange);
        assert_eq!(asked["statement_name"], "add");
        assert_eq!(asked["parameters"], json!([index.to_string(), "hello"]));
        assert_eq!(
            lines(exchange)[1],
            json!([(index + 1).to_string(), "hello"])
        );
        assert_eq!(
            exchange["action"]["fingerprint"],
            all[0]["action"]["fingerprint"]
        );
    }
    assert_eq!(document(&all[3])["row_limit"], 2);
    assert_eq!(
        lines(&all[3]).last(),
        Some(&json!({"command": "suspended"}))
    );
    assert_eq!(lines(&all[4])[1], json!(["3"]));
}

#[tokio::test]
async fn pipelines_keep_their_order_whatever_fails_in_them() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let ask = |text: &str| [parse("", text), bind("", "", &[]), execute("", 0)];
    let mut frames: Vec<Frame> = Vec::new();
    frames.extend(ask("SELECT 1"));
    frames.push(sync());
    frames.extend(ask("SELECT 2"));
    frames.extend(ask("SELECT 1/0"));
    frames.extend(ask("SELECT 3"));
    frames.push(sync());
    frames.push(query("SELECT 4"));
    frames.extend(ask("SELEKT 5"));
    frames.extend(ask("SELECT 6"));
    frames.push(sync());
    frames.push(close(b'S', "never"));
    frames.push(close(b'P', "never"));
    frames.push(describe(b'P', "never"));
    frames.push(sync());
    let got = same(&world, &[(&frames, 5)]).await;
    assert_eq!(got.iter().filter(|line| line.starts_with('E')).count(), 3);
    let all = world.exchanges(8).await;
    let outcomes: Vec<_> = all
        .iter()
        .map(|of| {
            format!(
                "{} {}",
                document(of)["statement"],
                of["outcome"].as_str().unwrap()
            )
        })
        .collect();
    assert!(
        outcomes.contains(&"\"SELECT 2\" complete".to_owned()),
        "{outcomes:?}"
    );
    assert!(
        outcomes.contains(&"\"SELECT 1/0\" upstream_error".to_owned()),
        "{outcomes:?}"
    );
    let skipped = all
        .iter()
        .find(|of| document(of)["statement"] == "SELECT 3")
        .unwrap();
    assert_eq!(skipped["skipped"], true);
    let wrong = all.iter().find(|of| of["sqlstate"] == "42601").unwrap();
    assert_eq!(wrong["outcome"], "upstream_error");
}

#[tokio::test]
async fn a_flush_is_answered_before_the_end_of_a_series() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let mut client = world.client().await;
    client
        .send([
            parse("", "SELECT 1"),
            bind("", "", &[]),
            execute("", 0),
            flush(),
        ])
        .await;
    let mut tags = Vec::new();
    while tags.last() != Some(&b'C') {
        tags.push(client.next().await.unwrap().tag);
    }
    assert_eq!(tags, b"12DC");
    client.send([sync()]).await;
    assert_eq!(told(&client.until_ready(1).await), ["Z idle"]);
}

#[tokio::test]
async fn what_is_copied_is_recorded_both_ways() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let data = |text: &'static str| Frame::new(b'd', text.as_bytes());
    let done = Frame::new(b'c', &b""[..]);
    let fail = Frame::new(b'f', &b"no more\0"[..]);
    let copy = query("COPY things FROM STDIN");
    let (mut direct, mut gate) = (Client::without().await, world.client().await);
    for client in [&mut direct, &mut gate] {
        client
            .query("CREATE TEMP TABLE things (id int, name text)")
            .await;
        // The client does not wait for leave to copy.
        client
            .send([
                copy.clone(),
                data("1\tann\n2\tb"),
                data("ob\n"),
                done.clone(),
            ])
            .await;
        let got = told(&client.until_ready(1).await);
        assert_eq!(got.last().unwrap(), "Z idle");
        assert!(got.contains(&"C COPY 2".to_owned()), "{got:?}");
        // What is wrong fails, and what comes late is overlooked.
        client.send([copy.clone(), data("x\ty\n")]).await;
        client.until_ready(1).await;
        client.send([data("3\tc\n"), done.clone()]).await;
        client.send([copy.clone(), fail.clone()]).await;
        assert_eq!(told(&client.until_ready(1).await)[1], "E ERROR 57014");
        let got = told(&client.query("COPY things TO STDOUT").await);
        assert!(got.contains(&"C COPY 2".to_owned()), "{got:?}");
        // As libpq does in the extended protocol: the Sync before the data does not count.
        let ask = [
            parse("", "COPY things FROM STDIN"),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ];
        client.send(ask).await;
        while client.next().await.unwrap().tag != b'G' {}
        client.send([data("4\td\n"), done.clone(), sync()]).await;
        assert_eq!(told(&client.until_ready(1).await), ["C COPY 1", "Z idle"]);
        assert_eq!(
            told(&client.query("SELECT count(*) FROM things").await)[1],
            "D 3"
        );
    }
    gate.end().await;
    let all = world.exchanges(7).await;
    let lines_of = |index: usize| lines(&all[index]);
    assert_eq!(lines_of(1)[0], json!({"copied_in": "1\tann\n"}));
    assert_eq!(lines_of(1)[1], json!({"copied_in": "2\tbob\n"}));
    assert_eq!(
        lines_of(1)[2],
        json!({"copy": "in", "bytes": 12, "lines": 2})
    );
    assert_eq!(all[2]["outcome"], "upstream_error");
    assert_eq!(lines_of(4).last(), Some(&json!({"command": "COPY 2"})));
}

#[tokio::test]
async fn a_name_means_what_it_means_to_the_server() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let mut client = world.client().await;
    client.query("PREPARE mine AS SELECT $1::int + 40").await;
    client.query("EXECUTE mine(2)").await;
    client
        .send([bind("", "mine", &[Some("3")]), execute("", 0), sync()])
        .await;
    let got = told(&client.until_ready(1).await);
    assert!(got.contains(&"D 43".to_owned()), "{got:?}");
    client.query("DEALLOCATE mine").await;
    client
        .query("PREPARE mine AS DELETE FROM pg_class WHERE false")
        .await;
    client
        .send([bind("", "mine", &[]), execute("", 0), sync()])
        .await;
    client.until_ready(1).await;
    client.end().await;
    let all = world.exchanges(6).await;
    assert_eq!(all[1]["action"]["statement_class"], "read");
    assert_eq!(
        document(&all[1])["resolved"],
        "SELECT $1::int + 40;\nSELECT 2"
    );
    assert_eq!(all[2]["action"]["statement_class"], "read");
    assert_eq!(all[5]["action"]["statement_class"], "write", "{}", all[5]);
}
