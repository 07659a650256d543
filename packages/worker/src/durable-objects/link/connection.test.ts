import { MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeSocket } from "../../../test/fake-socket.ts";
import { hashToken } from "../core/ids.ts";
import { NO_LINK, type SessionRecord } from "../core/session-state.ts";
import { close, connectionOf, isTooLarge, isUnknownType, refusalOf, refuse, trySend } from "./connection.ts";

describe("whoever wants to connect", () => {
  const record = (generation: number, token: string | undefined, ...former: string[]) =>
    ({
      generation,
      link: NO_LINK,
      ...(token !== undefined && { tokenHash: hashToken(token) }),
      formerTokenHashes: former.map(hashToken),
    }) as unknown as SessionRecord;
  const OURS = record(3, "vlt_ours", "vlt_before", "vlt_first");

  test.each<[string, SessionRecord, string, number, string | undefined]>([
    ["the runner of this generation", OURS, "vlt_ours", 3, undefined],
    ["one with another token", OURS, "vlt_theirs", 3, "token_refused"],
    ["a stranger that says it is older", OURS, "vlt_theirs", 2, "token_refused"],
    ["the runner of the generation before", OURS, "vlt_before", 2, "stale_generation"],
    ["one of an earlier generation", OURS, "vlt_first", 1, "stale_generation"],
    ["one of an earlier generation under the current number", OURS, "vlt_first", 3, "token_refused"],
    ["this generation's token under an older number", OURS, "vlt_ours", 2, "stale_generation"],
    ["this generation's token under a newer number", OURS, "vlt_ours", 4, "token_refused"],
    ["its runner once the generation has ended", record(3, undefined, "vlt_ours"), "vlt_ours", 3, "stale_generation"],
    ["a stranger once the generation has ended", record(3, undefined, "vlt_ours"), "vlt_theirs", 3, "token_refused"],
    ["a newer one once the generation has ended", record(3, undefined), "vlt_ours", 4, "token_refused"],
    ["anybody before the first generation", record(0, undefined), "vlt_ours", 1, "token_refused"],
  ])("%s", (_who, session, token, generation, refusal) => {
    expect(refusalOf(session, token, generation)).toBe(refusal);
  });

  test("is let in with the generation's own token and number only", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 6 }), (token, generation) => {
        const isIn = refusalOf(OURS, token, generation) === undefined;
        expect(isIn).toBe(token === "vlt_ours" && generation === 3);
      }),
    );
  });
});

describe("a socket", () => {
  test("that is refused is told why, and closed with the code of that", () => {
    const codes = (["token_refused", "stale_generation", "superseded", "protocol_unsupported"] as const).map(
      (reason) => {
        const socket = new FakeSocket();
        const protocols = { runner: 2, sessionAgent: 1 };
        refuse(socket.asWebSocket, reason, reason === "protocol_unsupported" ? protocols : undefined);
        const told =
          reason === "protocol_unsupported" ? { type: "refused", reason, protocols } : { type: "refused", reason };
        expect(socket.frames).toEqual([told]);
        return socket.closed;
      },
    );
    expect(codes).toEqual([
      [4401, "token_refused"],
      [4409, "stale_generation"],
      [4410, "superseded"],
      [4412, "protocol_unsupported"],
    ]);
  });

  test("that is closing already is no error to anybody", () => {
    const socket = new FakeSocket({ isBroken: true });
    trySend(socket.asWebSocket, { type: "error", error: "no" });
    close(socket.asWebSocket, 1000, "bye");
    refuse(socket.asWebSocket, "superseded");
    expect(socket.frames).toEqual([]);
  });

  test("is a runner's where it remembers to be", () => {
    expect(connectionOf(new FakeSocket().asWebSocket)).toBeUndefined();
    expect(connectionOf(new FakeSocket({ attachment: { role: "client", id: "con_1" } }).asWebSocket)).toBeUndefined();
    const attachment = { role: "runner", id: "con_1", generation: 1, connectedMs: 1, badFrames: 0 };
    expect(connectionOf(new FakeSocket({ attachment }).asWebSocket)).toEqual(attachment);
  });
});

test("a frame is too large by its bytes, not by its letters", () => {
  const most = MAX_LINK_FRAME_BYTES;
  expect(isTooLarge("a".repeat(most))).toBe(false);
  expect(isTooLarge("a".repeat(most + 1))).toBe(true);
  expect(isTooLarge("ä".repeat(most / 2))).toBe(false);
  expect(isTooLarge(`${"ä".repeat(most / 2)}a`)).toBe(true);
  expect(isTooLarge("😀".repeat(most / 4))).toBe(false);
  expect(isTooLarge(`${"😀".repeat(most / 4)}a`)).toBe(true);
});

test("a type that is not known is one that has a name, and another than ours", () => {
  const unknown = ['{"type":"of_tomorrow"}', '{"type":""}'];
  const others = ['{"type":"working"}', '{"type":1}', "{}", "[]", '"text"', "not JSON", ""];
  expect(unknown.filter(isUnknownType)).toEqual(unknown);
  expect(others.filter(isUnknownType)).toEqual([]);
});

test("whatever comes in, to ask for its type throws nothing", () => {
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => typeof isUnknownType(text) === "boolean"));
});
