import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UserError } from "../errors.ts";
import { type ExportApi, exportSession } from "./session-export.ts";

const ID = "ses_1";
const LINE = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [{}, {}] }, { spans: [{}] }] }] });

async function* pagesOf<T>(...pages: T[]): AsyncGenerator<T> {
  yield* pages;
}

const itemOf = (list: string, n: number) => (list === "turns" ? { attempt_id: `att_${n}` } : { id: `${list}_${n}` });

/** An API with two pages of each list; the fields are those of a newer version. */
const api: ExportApi = {
  raw: async (id, executionId) =>
    executionId === undefined ? { id, status: "running", new: true } : { id: executionId, output: "all of it" },
  rawPages: (_id, list) =>
    list === "workflows"
      ? pagesOf([{ id: "wf_1" }], [])
      : pagesOf([{ ...itemOf(list, 1), new: { a: "\n" } }, itemOf(list, 2)], [itemOf(list, 3)]),
  rawChanges: async (_id, attemptId) => ({ turns: [attemptId], patch: "+1\n" }),
  spanPages: () => pagesOf([LINE], [LINE, LINE]),
};

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), "valet-export-"));
}

function run(folder: string, more: Partial<Parameters<typeof exportSession>[0]> = {}) {
  return exportSession({ api, sessionId: ID, folder, version: "1.2.3", onLine: () => {}, ...more });
}

function linesOf(folder: string, name: string): unknown[] {
  const text = readFileSync(join(folder, name), "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

describe("an export", () => {
  test("has every page of every list, with fields that this version does not know, and a manifest that counts them", async () => {
    const folder = join(newFolder(), "a", "b");
    const { manifest, path } = await run(folder);
    expect(path).toBe(folder);
    expect(linesOf(folder, "session.jsonl")).toEqual([{ id: ID, status: "running", new: true }]);
    expect(linesOf(folder, "messages.jsonl")).toEqual([
      { id: "messages_1", new: { a: "\n" } },
      { id: "messages_2" },
      { id: "messages_3" },
    ]);
    expect(linesOf(folder, "turns.jsonl")).toHaveLength(3);
    expect(linesOf(folder, "workflows.jsonl")).toEqual([{ id: "wf_1", output: "all of it" }]);
    expect(linesOf(folder, "changes.jsonl")).toEqual([1, 2, 3].map((n) => ({ turns: [`att_${n}`], patch: "+1\n" })));
    expect(readFileSync(join(folder, "traces.otlp.jsonl"), "utf8")).toBe(`${LINE}\n`.repeat(3));
    expect(linesOf(folder, "manifest.json")).toEqual([manifest]);
    expect(manifest).toMatchObject({
      format: 1,
      valet: "1.2.3",
      sessionId: ID,
      status: "running",
      counts: { messages: 3, turns: 3, workflows: 1, spans: 9 },
    });
    expect(Object.keys(manifest.files).concat("manifest.json").sort()).toEqual(readdirSync(folder).sort());
    for (const [name, { lines, bytes, sha256 }] of Object.entries(manifest.files)) {
      const data = readFileSync(join(folder, name));
      expect([data.toString().split("\n").length - 1, data.length]).toEqual([lines, bytes]);
      expect(createHash("sha256").update(data).digest("hex")).toBe(sha256);
    }
    expect(statSync(folder).mode & 0o077).toBe(0);
  });

  test("that fails in the middle leaves nothing, and neither does one of an unknown session", async () => {
    const around = newFolder();
    const breaks: ExportApi = {
      ...api,
      spanPages: async function* () {
        yield [LINE];
        throw new UserError("the test breaks it");
      },
    };
    await expect(run(join(around, "export"), { api: breaks })).rejects.toThrow("the test breaks it");
    const unknown: ExportApi = { ...api, raw: () => Promise.reject(new UserError("No such session.")) };
    await expect(run(join(around, "export"), { api: unknown })).rejects.toThrow("No such session.");
    expect(readdirSync(around)).toEqual([]);
  });

  test("while it is written has another name, and no manifest", async () => {
    const around = newFolder();
    const seen: string[][] = [];
    await run(join(around, "export"), {
      onLine: () => seen.push(readdirSync(around).concat(readdirSync(join(around, readdirSync(around)[0] ?? "")))),
    });
    expect(seen.length).toBeGreaterThan(5);
    for (const names of seen) {
      expect(names[0]).toMatch(/^\.export\.partial-/);
      expect(names).not.toContain("manifest.json");
    }
    expect(readdirSync(around)).toEqual(["export"]);
  });

  test("goes into a folder that is empty, and into no other", async () => {
    const folder = newFolder();
    await run(folder);
    await expect(run(folder)).rejects.toThrow(/is not empty\. Name another folder\./);
    const file = join(newFolder(), "file");
    writeFileSync(file, "");
    await expect(run(file)).rejects.toThrow(/cannot be the folder of an export: it is a file/);
  });

  test("does not replace what took its place meanwhile", async () => {
    const folder = join(newFolder(), "export");
    const takes: ExportApi = {
      ...api,
      spanPages: async function* () {
        mkdirSync(folder);
        writeFileSync(join(folder, "theirs"), "");
        yield [LINE];
      },
    };
    await expect(run(folder, { api: takes })).rejects.toThrow(/is not empty/);
    expect(readdirSync(folder)).toEqual(["theirs"]);
  });

  test.skipIf(process.getuid?.() === 0)("says where it cannot write", async () => {
    const around = newFolder();
    chmodSync(around, 0o500);
    await expect(run(join(around, "export"))).rejects.toThrow(
      /^Nothing was exported\. .*: this user may not use it \(EACCES\)/,
    );
  });
});
