/** Writes to SQLite files as fast as possible until it is killed: pairs of rows, each pair in one transaction. */
import { DatabaseSync } from "node:sqlite";

const path = process.argv[2];
if (path === undefined) throw new Error("usage: sqlite-writer.ts FILE");
const database = new DatabaseSync(path);
database.exec("pragma journal_mode = wal; pragma synchronous = normal; pragma wal_autocheckpoint = 20");
database.exec("create table if not exists pairs (n integer, side text, filling blob)");
for (let n = 1; ; n++) {
  database.exec("begin");
  for (const side of ["left", "right"]) {
    database.prepare("insert into pairs values (?, ?, randomblob(3000))").run(n, side);
  }
  database.exec("commit");
}
