/** The folders of OpenCode's configuration, where the agent of a trusted repository changes them and the repository meanwhile. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exchange, tryFor } from "../../test/exchange.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { ConfigFolder } from "./config-folder.ts";
import { Refusals } from "./refusals.ts";

function setUp() {
  const [state, workspace, outside] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
  mkdirSync(join(workspace, ".opencode/agent"), { recursive: true });
  writeFileSync(join(outside, "secret"), "a secret");
  const folder = new ConfigFolder(state);
  folder.clear();
  return {
    state,
    workspace,
    outside,
    folder,
    configuration: join(state, "opencode"),
    write: () => folder.write({ workspace, isTrusted: true, secretVariables: [], overridden: [] }),
  };
}

test("a trusted repository's folder is copied, with links and permissions, without packages and pipes", () => {
  const { workspace, outside, configuration, write } = setUp();
  const own = join(workspace, ".opencode");
  mkdirSync(join(own, "tool/node_modules"), { recursive: true });
  writeFileSync(join(own, "tool/run.sh"), "#!/bin/sh\n");
  chmodSync(join(own, "tool/run.sh"), 0o755);
  writeFileSync(join(own, "agent/a.md"), "---\ndescription: x\npermission: allow\n---\nText.");
  writeFileSync(join(own, "package-lock.json"), "{}");
  writeFileSync(join(own, "opencode.json"), JSON.stringify({ theme: "x" }));
  symlinkSync("../shared", join(own, "relative"));
  symlinkSync(join(outside, "secret"), join(own, "absolute"));
  execFileSync("mkfifo", [join(own, "pipe")]);
  expect(write()).toEqual({ isOfRepository: true, mcpServers: [], problems: [], ignored: ["permission of agents"] });
  const copied = join(configuration, "repository");
  expect(readdirSync(copied).sort()).toEqual(
    [".gitignore", "absolute", "agent", "opencode.json", "package-lock.json", "relative", "tool"].sort(),
  );
  expect(readdirSync(join(copied, "tool"))).toEqual(["run.sh"]);
  expect(statSync(join(copied, "tool/run.sh")).mode & 0o777).toBe(0o755);
  expect(readFileSync(join(copied, "agent/a.md"), "utf8")).toBe('---\n"description": "x"\n---\nText.');
  expect(readFileSync(join(copied, "package-lock.json"), "utf8")).toBe("{}");
  expect(readlinkSync(join(copied, "relative"))).toBe(join(workspace, "shared"));
  expect(lstatSync(join(copied, "absolute")).isSymbolicLink()).toBe(true);
  expect(JSON.parse(readFileSync(join(copied, "opencode.json"), "utf8"))).toMatchObject({ theme: "x" });
  // And again, over what is there.
  rmSync(join(own, "tool"), { recursive: true });
  rmSync(join(own, "package-lock.json"));
  expect(write().problems).toEqual([]);
  expect(existsSync(join(copied, "tool"))).toBe(false);
});

test("a folder that is too large is not copied, and said so", () => {
  const { workspace, write } = setUp();
  writeFileSync(join(workspace, ".opencode/huge"), "");
  truncateSync(join(workspace, ".opencode/huge"), 1e12);
  expect(write().problems).toEqual(["the repository's configuration cannot be used: EFBIG"]);
});

test.each(["models.json", "refusals", "config", "home", "empty", "repository"])(
  "a link in place of %s leads the runner to no other file",
  (name) => {
    const { state, outside, configuration, folder, write } = setUp();
    mkdirSync(join(outside, "folder"));
    const target = name === "models.json" || name === "refusals" ? "secret" : "folder";
    rmSync(join(configuration, name), { recursive: true, force: true });
    symlinkSync(join(outside, target), join(configuration, name));
    const refusals = new Refusals(state);
    refusals.add();
    refusals.reset();
    refusals.add();
    folder.clear();
    expect(write().problems).toEqual([]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("a secret");
    expect(readdirSync(join(outside, "folder"))).toEqual([]);
    expect(readFileSync(refusals.path, "utf8")).toBe(".");
  },
);

test.runIf(process.platform === "linux")(
  "a file of the repository that is exchanged for a link shows nothing of the file there",
  async () => {
    const { workspace, outside, configuration, write } = setUp();
    writeFileSync(join(workspace, ".opencode/notes"), "own");
    symlinkSync(join(outside, "secret"), join(workspace, "link"));
    const copied = join(configuration, "repository/notes");
    const seen = new Set<string>();
    await exchange(join(workspace, ".opencode/notes"), join(workspace, "link"));
    await tryFor(
      3_000,
      () => {
        write();
        if (lstatSync(copied, { throwIfNoEntry: false })?.isFile()) seen.add(readFileSync(copied, "utf8"));
      },
      () => seen.has("a secret"),
    );
    expect(seen).toEqual(new Set(["own"]));
  },
);
