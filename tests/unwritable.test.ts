/** What commands say where they cannot write: on a full disk, and in a folder that is read-only. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FULL, mayMount, mounted, READ_ONLY } from "./own-mounts.ts";
import { run, temporaryState } from "./up-process.ts";
import type { CommandResult } from "./valet-up.ts";

const TIMEOUT_MS = 60_000;
/** @returns the sentence, which people get as scripts do (every-command.e2e.test.ts); never a stack */
async function refusal(dir: string, mounts: string, args: readonly string[], env = {}): Promise<string> {
  const { code, stdout, stderr } = await mounted(dir, mounts, [...args, "--json"], env);
  expect(code, args.join(" ")).toBe(2);
  const { message } = JSON.parse(stdout).error;
  expect(stderr + message).not.toMatch(/\n {4}at |internal error/);
  return message;
}

describe.skipIf(!mayMount)("`valet up`", () => {
  test(
    "on a read-only file system: a new state, a known one, and a part of one",
    async () => {
      const state = temporaryState();
      const again = "name another one with --state.";
      for (const part of ["broker", "log", "storage/do/valet-SessionAgent"]) {
        mkdirSync(join(state, part), { recursive: true });
        const script = READ_ONLY.replaceAll("$DIR", `$DIR/${part}`);
        expect(await refusal(state, script, ["--state", state, "up"])).toBe(
          `The state directory ${state} cannot be written to: ${join(state, part)}: its file system is read-only (EROFS). Change that, or ${again}`,
        );
      }
      expect(await refusal(state, READ_ONLY, ["--state", state, "up"])).toMatch(
        /: its file system is read-only \(EROFS\)\. Change /,
      );
      expect(await refusal(state, READ_ONLY, ["--state", join(state, "new/state"), "up"])).toBe(
        `The state directory cannot be used: ${join(state, "new")}: the file system is read-only (EROFS). N${again.slice(1)}`,
      );
    },
    TIMEOUT_MS,
  );

  test(
    "on a full disk",
    async () => {
      const state = temporaryState();
      const message = await refusal(state, FULL, ["--state", join(state, "s"), "up"]);
      expect(message).toMatch(
        /^The disk of the state directory .* is full\. Make room, or name another one with --state\.$/,
      );
    },
    TIMEOUT_MS,
  );
});

test.skipIf(!mayMount)(
  "`valet doctor` says of a state directory what `valet up` would: a new one, a known one, and a part of one",
  async () => {
    const state = temporaryState();
    mkdirSync(join(state, "storage/do"), { recursive: true });
    for (const [part, dir, at] of [
      ["", state, state],
      ["storage/do", state, join(state, "storage/do")],
      ["", join(state, "new/state"), state],
    ] as const) {
      const script = READ_ONLY.replaceAll("$DIR", `$DIR/${part}`);
      const { code, stdout } = await mounted(state, script, ["--state", dir, "doctor", "--json"]);
      expect(code).toBe(1);
      expect(JSON.parse(stdout).findings).toContainEqual({
        name: "state directory",
        state: "missing",
        detail: `The state directory ${dir} cannot be written to: ${at}: its file system is read-only (EROFS). Change that, or name another one with --state.`,
      });
    }
  },
  TIMEOUT_MS,
);

describe("`valet doctor` says of a path that cannot be a state directory what `valet up` says of it:", () => {
  /** What `doctor` says of a state directory. */
  const findingOf = ({ stdout }: CommandResult) =>
    JSON.parse(stdout).findings.find(({ name }: { name: string }) => name === "state directory");

  test.each([
    ["a file", "file", "file: a file is in the way (EEXIST)"],
    ["a path below a file", "file/below/state", "file: a file is in the way (EEXIST)"],
    ["a link that leads nowhere", "nowhere", "nowhere: a file is in the way (EEXIST)"],
    ["a circle of links", "circle", "circle: its links lead in a circle (ELOOP)"],
    ["too long a name", "n".repeat(300), ": the name is too long (ENAMETOOLONG)"],
    ["a folder that other programs use, too", "shared", "shared holds other users' files"],
  ])(
    "%s",
    async (_what, path, why) => {
      const folder = temporaryState();
      writeFileSync(join(folder, "file"), "");
      symlinkSync("missing", join(folder, "nowhere"));
      symlinkSync("circle", join(folder, "circle"));
      mkdirSync(join(folder, "shared"));
      chmodSync(join(folder, "shared"), 0o1777);
      const state = join(folder, path);
      const [doctor, up] = await Promise.all([
        run(["--state", state, "doctor", "--json"]),
        run(["--state", state, "up", "--json"]),
      ]);
      expect([doctor.code, up.code]).toEqual([1, 2]);
      const detail = expect.stringContaining(why);
      expect(findingOf(doctor)).toEqual({ name: "state directory", state: "missing", detail });
      expect(JSON.parse(up.stdout).error.message).toBe(findingOf(doctor).detail);
    },
    TIMEOUT_MS,
  );

  test.skipIf(!mayMount).each([
    ["a folder that this user may not enter", ""],
    ["a path below a folder that this user may not enter", "below/state"],
  ])(
    "%s",
    async (_what, below) => {
      const folder = temporaryState();
      const closed = join(folder, "closed");
      mkdirSync(closed, { mode: 0 });
      const state = join(closed, below);
      // Without its capabilities even root may not enter a folder without permissions.
      const bare = 'set -- setpriv --inh-caps=-all --bounding-set=-all "$@"';
      const doctor = await mounted(folder, bare, ["--state", state, "doctor", "--json"]);
      expect(findingOf(doctor)).toMatchObject({
        state: "missing",
        detail: expect.stringMatching(/closed.*\(EACCES\)/),
      });
      expect(await refusal(folder, bare, ["--state", state, "up"])).toBe(findingOf(doctor).detail);
    },
    TIMEOUT_MS,
  );
});

test.runIf(process.getuid?.() !== 0)("`valet up` with a file of another user, as after it ran as root", async () => {
  const state = temporaryState();
  mkdirSync(join(state, "storage"));
  writeFileSync(join(state, "storage/metadata.sqlite"), "", { mode: 0o400 });
  const { code, stderr } = await run(["--state", state, "up"]);
  expect(code).toBe(2);
  expect(stderr).toMatch(
    /metadata\.sqlite: this user may not write to it \(EACCES\)\. Change that, or name another one/,
  );
});

describe.skipIf(!mayMount)("`valet demo`, whose repository is in the folder for temporary files,", () => {
  test.each([
    ["on a full disk", FULL, /No space left on device|the disk is full/],
    ["on a read-only file system", READ_ONLY, /the file system is read-only \(EROFS\)/],
  ])(
    "%s",
    async (_where, mounts, why) => {
      const folder = temporaryState();
      const message = await refusal(folder, mounts, ["demo"], { TMPDIR: folder });
      expect(message).toMatch(why);
      expect(message).toMatch(
        /^The demo's repository cannot be made in .* Mend that, or set TMPDIR to another folder\.$/,
      );
    },
    TIMEOUT_MS,
  );
});
