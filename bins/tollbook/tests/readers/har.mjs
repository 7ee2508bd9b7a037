// What the schemas of HAR 1.2 say is wrong with a file, as JSON. Called with the folder of the
// validator and the file.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, file] = process.argv.slice(2);
const validator = createRequire(`${folder}/`)("har-validator/lib/promise");
const wrong = await validator.har(JSON.parse(readFileSync(file, "utf8"))).then(
  () => [],
  (error) => error.errors ?? [String(error)],
);
console.log(JSON.stringify(wrong));
