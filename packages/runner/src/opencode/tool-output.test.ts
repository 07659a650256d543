import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import type { FolderPlace } from "../files/open-folder.ts";
import { boundToolOutput, toolOutputFolder } from "./tool-output.ts";

const MIB = 1024 * 1024;

function setUp() {
  const root = temporaryFolder();
  const folder = join(root, ".local/share/opencode/tool-output");
  mkdirSync(folder, { recursive: true });
  const write = (name: string, mib: number, ageS: number) => {
    const path = join(folder, name);
    writeFileSync(path, Buffer.alloc(mib * MIB, "x"));
    utimesSync(path, Date.now() / 1000 - ageS, Date.now() / 1000 - ageS);
    return path;
  };
  return { folder, root, write };
}

function bound(root: string, intervalMs = 600_000): () => void {
  const folder = toolOutputFolder({ HOME: root }) as FolderPlace;
  const end = boundToolOutput({ folder, maxBytes: 8 * MIB, intervalMs });
  onTestFinished(end);
  return end;
}

test("the newest files within the limit stay, and files that are not OpenCode's are not touched", () => {
  const { folder, root, write } = setUp();
  write("tool_new", 3, 1);
  write("tool_old", 3, 2);
  write("tool_older", 3, 3);
  write("mine.txt", 20, 4);
  bound(root);
  expect(readdirSync(folder).sort()).toEqual(["mine.txt", "tool_new", "tool_old"]);
});

test("a file that grows without end stays within the limit, while it is being written and afterwards", async () => {
  const { root, write } = setUp();
  const path = write("tool_big", 1, 0);
  const end = bound(root, 10);
  for (let mib = 0; mib < 60; mib += 3) {
    appendFileSync(path, Buffer.alloc(3 * MIB, "y"));
    await vi.waitFor(() => expect(512 * statSync(path).blocks).toBeLessThanOrEqual(8 * MIB + 8192), {
      timeout: 20_000,
      interval: 5,
    });
  }
  end();
  expect(512 * statSync(path).blocks).toBeLessThanOrEqual(8 * MIB + 8192);
});

test("links are not followed", () => {
  const { folder, root } = setUp();
  const elsewhere = temporaryFolder();
  writeFileSync(join(elsewhere, "tool_mine"), Buffer.alloc(20 * MIB, "x"));
  symlinkSync(join(elsewhere, "tool_mine"), join(folder, "tool_link"));
  bound(root);
  expect(statSync(join(elsewhere, "tool_mine")).size).toBe(20 * MIB);
  expect(existsSync(join(folder, "tool_link"))).toBe(true);
});

test("a missing folder is ignored", () => {
  expect(toolOutputFolder({})).toBeUndefined();
  expect(toolOutputFolder({ HOME: "/h", XDG_DATA_HOME: "/d" })).toEqual({
    root: "/d",
    names: ["opencode", "tool-output"],
  });
  bound(temporaryFolder());
  bound(join(temporaryFolder(), "none"));
});
