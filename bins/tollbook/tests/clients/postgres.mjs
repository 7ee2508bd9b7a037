// node-postgres through the gate.
import assert from "node:assert";
import pg from "pg";

const { HOST, PORT, TOKEN, SECRET } = process.env;
const client = new pg.Client({ host: HOST, port: Number(PORT), user: "ann", database: "postgres", password: TOKEN });
await client.connect();
for (let round = 0; round < 10; round++) {
  const query = { name: "one", text: "SELECT id, ssn AS x, note, doc FROM users WHERE id = $1", values: [1] };
  const { rows } = await client.query(query);
  assert.equal(rows[0].x, "***-**-9999");
  assert.ok(!rows[0].note.includes(SECRET) && !JSON.stringify(rows[0].doc).includes(SECRET));
}
await assert.rejects(client.query("DELETE FROM users"), (error) => error.code === "42501");
await client.query("BEGIN");
await assert.rejects(client.query("DELETE FROM users"), { code: "42501" });
await assert.rejects(client.query("SELECT 1"), { code: "25P02" });
await client.query("ROLLBACK");
assert.equal((await client.query("SELECT count(*)::int AS n FROM users")).rows[0].n, 3);
await client.end();
console.log("node-postgres");
