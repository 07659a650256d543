import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { apiProblem } from "@valet/shared/protocol/api-problems";
import type { FoundId, FoundIds } from "@valet/shared/protocol/found-ids";
import type { Command } from "commander";
import { expect, onTestFinished, test, vi } from "vitest";
import { ApiError } from "./api-transport.ts";
import { askAboutTurns, findMessageId, findSessionId, findTraceId } from "./find-id.ts";
import { createProgram } from "./program.ts";

const WHOLE = `ses_${"a".repeat(26)}`;
const found = (kind: FoundId["kind"], id: string): FoundId => ({ kind, id, at: null, title: null });

function apiWith(...ids: FoundId[]) {
  return { findIds: vi.fn(async (): Promise<FoundIds> => ({ ids, hasMore: false })) };
}

test("a complete id, or a text that cannot be an id, costs no request", async () => {
  const api = apiWith();
  expect(await findSessionId(api, WHOLE)).toBe(WHOLE);
  expect(await findTraceId(api, WHOLE, "f".repeat(32))).toBe("f".repeat(32));
  expect(await findMessageId(api, WHOLE, `msg_${"a".repeat(26)}`)).toBe(`msg_${"a".repeat(26)}`);
  for (const text of ["", "a b", "../x", "a".repeat(129)]) {
    await expect(findSessionId(api, text)).rejects.toThrow("See `valet sessions`.");
  }
  expect(api.findIds).not.toHaveBeenCalled();
});

test("only ids of the wanted kind are meant", async () => {
  const api = apiWith(found("message", "msg_ab"), found("turn", "att_ab"), found("trace", "ab".repeat(16)));
  expect(await findMessageId(api, WHOLE, "ab")).toBe("msg_ab");
  expect(await findTraceId(api, WHOLE, "ab")).toBe("ab".repeat(16));
  expect(api.findIds.mock.calls).toEqual([
    ["ab", WHOLE],
    ["ab", WHOLE],
  ]);
});

test("turns cost one request for complete ids and callers' own ids, two for prefixes", async () => {
  const api = apiWith(found("message", "msg_ab"));
  const notFound = new ApiError(404, apiProblem("turn-not-found"));
  const ask = vi.fn(async ({ from, to }: { from?: string | undefined; to?: string | undefined }) => {
    if (from !== "first" || to !== "msg_ab") throw notFound;
    return "found";
  });
  expect(await askAboutTurns(api, WHOLE, { from: "first", to: "msg_ab" }, ask)).toBe("found");
  expect(api.findIds).not.toHaveBeenCalled();
  expect(await askAboutTurns(api, WHOLE, { from: "first", to: "a" }, ask)).toBe("found");
  expect(api.findIds).toHaveBeenCalledTimes(1);
  await expect(askAboutTurns(api, WHOLE, { from: "msg_ab" }, ask)).rejects.toBe(notFound);
  await expect(askAboutTurns(api, WHOLE, { from: "x" }, ask)).rejects.toThrow("No turn, message or workflow has an id");
});

/** The commands with subcommands in place of their parents. */
function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

function pathOf(command: Command): string[] {
  return command.parent === null ? [] : [...pathOf(command.parent), command.name()];
}

const JSON_FILE = fileURLToPath(new URL("../package.json", import.meta.url));
/** Arguments and options whose values are ids of sessions. */
const SESSION_OPTIONS = ["--session", "--parent"];

const uses = leaves(createProgram()).flatMap((command) => {
  const path = pathOf(command);
  const required = command.registeredArguments.filter(({ required }) => required);
  const valueFor = (name: string) => (name === "session" ? "ab" : name === "file" ? JSON_FILE : "x");
  const given = required.map((each) => valueFor(each.name()));
  const isOf = (name: string) => command.registeredArguments.some((each) => each.name() === name);
  const inArgument = isOf("session") ? [[...path, ...(given.includes("ab") ? given : ["ab"])]] : [];
  const inOptions = command.options.filter(({ long }) => SESSION_OPTIONS.includes(long ?? ""));
  return [...inArgument, ...inOptions.map(({ long }) => [...path, ...given, String(long), "ab"])];
});

test("there are commands that take a session", () => {
  expect(uses.length).toBeGreaterThan(18);
});

test.each(uses.map((args) => [args.join(" "), args] as const))(
  "%s takes the beginning of a session's id",
  async (_, args) => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(String(request.url));
      const ids = ["ses_ab1", "ses_ab2"].map((id) => found("session", id));
      response.setHeader("content-type", "application/json").end(JSON.stringify({ ids, hasMore: false }));
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const program = createProgram(true);
    const run = program.parseAsync([...args, "--url", url, "--token", "t"], { from: "user" });
    await expect(run).rejects.toThrow(
      "2 sessions have ids that begin with ab: give more of the id.\n  ses_ab1\n  ses_ab2",
    );
    expect(asked).toEqual(["/api/ids?prefix=ab"]);
  },
);
