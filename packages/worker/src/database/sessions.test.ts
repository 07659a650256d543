/** The list of sessions, whose pages are also limited in bytes. */
import type { SessionList } from "@valet/shared/protocol/session-api";
import { expect, test } from "vitest";
import { call, createSession, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";

test("sessions with large views are listed page by page, each once, and so is their family", async () => {
  const token = await signIn();
  const first = await createSession(token);
  const ids = [first.id];
  for (let i = 0; i < 3; i++) ids.push((await createSession(token, { parentSessionId: first.id })).id);
  // The maximum size of an agent's requests.
  for (const id of ids) {
    await bindings.DB.prepare(
      `UPDATE sessions SET version = 1000000, view = json_set(view, '$.questions', json_array(json_object(
         'id', 'que_1', 'messageId', 'm', 'askedAt', '2026-01-01T00:00:00.000Z', 'questions', json_array(json_object(
           'question', ?, 'header', 'h', 'options', json_array()))))) WHERE id = ?`,
    )
      .bind("x".repeat(1_800_000), id)
      .run();
  }
  const seen: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const query: string = cursor === undefined ? "" : `?cursor=${cursor}`;
    const page: SessionList = await (await call("GET", `/api/sessions${query}`, { token })).json();
    seen.push(...page.sessions.map(({ id }) => id));
    cursor = page.nextCursor;
    pages++;
  } while (cursor !== undefined);
  expect(seen.toSorted()).toEqual(ids.toSorted());
  expect(pages).toBe(2);
  const family = await (await call("GET", `/api/sessions/${first.id}/family`, { token })).text();
  expect(family.length).toBeLessThan(10_000);
});
