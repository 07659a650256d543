import { test } from "vitest";
import { TestSession } from "../../test/session.ts";
const timed = async (name: string, p: Promise<unknown>) => {
  const t = Date.now();
  const r = await Promise.race([p.then(() => "done", (e) => String(e)), new Promise((r) => setTimeout(r, 8000, "HANG"))]);
  console.error(name, r, Date.now() - t);
};
test("no session", async () => {
    const s = new TestSession();
    await s.stub.view();
    await timed("uncreated", s.evict());
}, 20000);
test("created", async () => {
    const s = new TestSession();
    await s.create();
    await timed("created", s.evict());
}, 20000);
test("created later", async () => {
    const s = new TestSession();
    await s.create();
    await new Promise((r) => setTimeout(r, 1000));
    await timed("created later", s.evict());
}, 20000);
test("connected", async () => {
    const s = new TestSession();
    await s.create();
    const r = await s.connect();
    await new Promise((r) => setTimeout(r, 1000));
    await timed("connected", s.evict());
}, 20000);
