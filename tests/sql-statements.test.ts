// How the Worker's SQL statements are found in its sources, for the test of their query plans.
import { expect, test } from "vitest";
import { SourceStatements } from "../packages/worker/test/statements/texts.node.ts";

function textsOf(source: string, substitutes: Record<string, string> = {}): string[] {
  return new SourceStatements("file.ts", source, substitutes).all().map(({ text }) => text);
}

test.each<[string, string, string[]]>([
  ["a literal", 'sql.exec("SELECT 1");', ["SELECT 1"]],
  ["a statement over several lines", "db.prepare(`SELECT\n  1`).bind();", ["SELECT 1"]],
  ["a constant of the file", `const N = 2 * 3;\nfunction f() { sql.exec(\`SELECT \${N}\`); }`, ["SELECT 6"]],
  ["both branches of a condition", `sql.exec(\`SELECT 1\${a ? " LIMIT 1" : ""}\`);`, ["SELECT 1 LIMIT 1", "SELECT 1"]],
  [
    "a parameter, with the argument of each call",
    `class A { a() { this.#of("a"); } b() { return this.#of("b"); } #of(name: string) { sql.exec(\`SELECT \${name}\`); } }`,
    ["SELECT a", "SELECT b"],
  ],
  [
    "parameters that belong together",
    `const q = (table: string, column: string) => sql.exec(\`SELECT \${column} FROM \${table}\`); q("a", "x"); q("b", "y");`,
    ["SELECT x FROM a", "SELECT y FROM b"],
  ],
  [
    "a parameter that is passed on, and one with a default",
    `function a(w: string) { b(w); } function b(w = "X") { const q = \`DELETE \${w}\`; sql.exec(q); } a("Y"); b();`,
    ["DELETE Y", "DELETE X"],
  ],
  [
    "a function that makes a part of the text",
    `const sum = (c: string) => \`SUM(\${c})\`; const S = \`\${sum("a")}, \${sum("b")}\`; db.prepare(\`SELECT \${S}\`);`,
    ["SELECT SUM(a), SUM(b)"],
  ],
  [
    "statements in lists and callbacks",
    'db.batch([db.prepare("A").bind(), ...x.map(() => db.prepare("B"))]);',
    ["A", "B"],
  ],
  [
    "no change of the schema, and no regular expression",
    'sql.exec("CREATE TABLE a (b)"); /a/.exec("b"); NAME.exec("c"); const NAME = /x/;',
    [],
  ],
])("%s", (_what, source, texts) => {
  expect(textsOf(source).toSorted()).toEqual(texts.toSorted());
});

test("a text that does not follow from the file is named by a substitute, or refused", () => {
  const source = `sql.exec(\`SELECT \${names.join(", ")} FROM t\`);`;
  expect(() => textsOf(source)).toThrow('the texts of names.join(", ") cannot be found');
  const substitutes = { 'names.join(", ")': "*" };
  expect(textsOf(source, substitutes)).toEqual(["SELECT * FROM t"]);
  expect(new SourceStatements("file.ts", source, substitutes).all()[0]?.pattern).toBe("SELECT … FROM t");
});

test("a database whose name is in capitals is no regular expression", () => {
  expect(textsOf('const { DB } = env; DB.prepare("SELECT 1");')).toEqual(["SELECT 1"]);
});

test.each([
  ["by another name", "const run = sql.exec; run('SELECT 1');"],
  ["bound", "const run = this.#sql.exec.bind(sql);"],
  ["handed on", "each(queries, db.prepare);"],
  ["taken out of its object", "const { exec } = sql;"],
  ["taken out under another name", "function f({ prepare: run }) { run('SELECT 1'); }"],
  ["by an optional call", "sql?.exec('SELECT 1');"],
  ["by a computed name", "sql['exec']('SELECT 1');"],
])("a statement cannot hide: exec or prepare %s", (_how, source) => {
  expect(() => textsOf(source)).toThrow("is not called");
});
