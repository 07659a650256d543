/** Makes a bearer token for a deployed Worker: prints it once, and the SQL that puts it on record in D1. */
import { parseArgs } from "node:util";
import { makeToken } from "../src/database/setup.ts";

const HELP =
  "node scripts/make-token.ts --owner OWNER [--name NAME] [--speaks-for-others]\n\nOWNER sees the sessions of OWNER; NAME is what people call the token. With --speaks-for-others its requests may name\nthe `user` on whose behalf they are made: for a bot or a portal that serves several people.\n";

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const { values } = parseArgs({ options: { owner: text, name: text, "speaks-for-others": flag, help: flag } });
if (values.help || values.owner === undefined) {
  process.stdout.write(HELP);
  process.exitCode = values.help ? 0 : 2;
} else {
  const { token, statement } = makeToken(values.owner, values.name ?? "unnamed", {
    speaksForOthers: values["speaks-for-others"] === true,
  });
  const literals = statement.params.map((value) => (value === null ? "NULL" : `'${value.replaceAll("'", "''")}'`));
  const sql = statement.sql.replace(/\?/g, () => literals.shift() ?? "NULL");
  process.stdout.write(`token: ${token}\nsql:   ${sql}\n`);
}
