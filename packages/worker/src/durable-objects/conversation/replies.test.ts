import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import { describe, expect, test } from "vitest";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import { AgentRequests } from "./agent-requests.ts";
import { Replies } from "./replies.ts";

/** The agent has asked for a permission and put a question. */
function asked(rooms: Rooms) {
  const { sql, now, transactions, link, state } = rooms;
  const requests = new AgentRequests(sql, now, transactions, () => "con_1");
  const told: ClientEvent[] = [];
  const clients = { broadcast: (event: ClientEvent) => void told.push(event) };
  const answered: string[] = [];
  const replies = new Replies({
    requests,
    link,
    state,
    clients,
    transactions,
    endOf: () => undefined,
    onAnswered: (attemptId) => void answered.push(attemptId),
  });
  rooms.message("m1");
  const attemptId = rooms.accepted("m1");
  rooms.run(() => {
    requests.addPermission(
      { type: "permission-asked", attemptId, permissionId: "per_1", permission: "bash", detail: "make" },
      "m1",
    );
    requests.addQuestion({ type: "question-asked", attemptId, questionId: "que_1", questions: [] }, "m1");
  });
  rooms.frames.length = 0;
  const open = () => [...requests.open("permission"), ...requests.open("question")].map(({ id }) => id);
  return { requests, replies, told, answered, open, attemptId };
}

describe.each([
  ["permission", "per_1", (replies: Replies) => replies.permission("per_1", "once", "own_1")],
  ["question", "que_1", (replies: Replies) => replies.question("que_1", null, "own_1")],
] as const)("an answer to a %s", (_kind, id, answer) => {
  test("is stored before it is sent, and told to the clients afterwards", () =>
    inRooms((rooms) => {
      const { requests, replies, told, answered, open, attemptId } = asked(rooms);
      let sentAtCommit: number | undefined;
      rooms.beforeCommit = () => {
        sentAtCommit = rooms.frames.length;
      };
      expect(answer(replies)).toMatchObject({ ok: true });
      expect([sentAtCommit, rooms.frames.length, told.length]).toEqual([0, 1, 1]);
      expect([open().includes(id), answered, requests.answeredBy(id)]).toEqual([false, [attemptId], "own_1"]);
    }));

  test("that cannot be stored is not sent, and can be given again", () =>
    inRooms((rooms) => {
      const { replies, told, open } = asked(rooms);
      rooms.beforeCommit = () => {
        throw new Error("database or disk is full");
      };
      expect(() => answer(replies)).toThrow("full");
      expect([rooms.frames, told]).toEqual([[], []]);
      expect(open()).toContain(id);
      rooms.beforeCommit = () => {};
      expect(answer(replies)).toMatchObject({ ok: true });
      expect(rooms.frames).toHaveLength(1);
    }));

  test("whose socket is broken leaves the request open, answered by nobody", () =>
    inRooms((rooms) => {
      const { requests, replies, told, open } = asked(rooms);
      rooms.linkFails = true;
      expect(answer(replies)).toMatchObject({ ok: false, problem: { type: "urn:valet:problem:runner-disconnected" } });
      expect([open().includes(id), requests.answeredBy(id), told]).toEqual([true, undefined, []]);
      rooms.linkFails = false;
      expect(answer(replies)).toMatchObject({ ok: true });
      expect([rooms.frames.length, requests.answeredBy(id)]).toEqual([1, "own_1"]);
    }));
});
