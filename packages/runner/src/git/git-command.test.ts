import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { endAll } from "../../test/runner-process.ts";
import { GitError, git } from "./git-command.ts";

test.each([
  ["hangs", "exec sleep 60"],
  ["has exited", "exit 0"],
])("a git that %s, while a process outside its group holds its output open, ends at the timeout", async (_, end) => {
  const folder = temporaryFolder();
  const sandboxId = `sbx_${Math.random().toString(36).slice(2)}`;
  writeFileSync(join(folder, "git"), `#!/bin/sh\nsetsid sleep 60 &\n${end}\n`);
  chmodSync(join(folder, "git"), 0o755);
  onTestFinished(() => endAll(sandboxId));
  const running = git(["status"], "git_config_failed", {
    cwd: folder,
    env: { PATH: `${folder}:${process.env.PATH}`, VALET_SANDBOX_ID: sandboxId },
    transports: ["https"],
    signal: AbortSignal.timeout(300),
  });
  await expect(running).rejects.toMatchObject({ name: GitError.name, errorType: "git_timeout" });
});
