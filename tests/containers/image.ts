/** An image of sandboxes as `packages/sandbox/image/Dockerfile` makes it, of this machine's programs: no registry is needed, and it takes seconds. */
import { readFileSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { BUN } from "../../packages/cli/src/system/programs.ts";
import { runnerProgram } from "../../packages/cli/src/system/runner-bundle.ts";
import type { TestEngine } from "../../packages/sandbox/test/engine.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const OPENCODE = resolve(ROOT, "packages/runner/node_modules/opencode-ai");
const RUNNER = "/opt/valet/packages/runner";
/** The number of the agent's user. */
const AGENT = 1000;
const USERS = [
  "root:x:0:0:root:/root:/bin/bash",
  "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
  `valet:x:${AGENT}:${AGENT}::/home/valet:/bin/bash`,
  "valet-runner:x:1001:1001::/:/usr/sbin/nologin",
];
const GROUPS = ["root:x:0:", "nogroup:x:65534:", "valet:x:1000:", "valet-runner:x:1001:"];
const PERL = ["/usr/bin/perl", `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/perl-base`];

export async function makeSandboxImage(engine: TestEngine, name: string): Promise<void> {
  const demo = await makeDemoRepository();
  await engine.makeImage(name, {
    owned: { uid: AGENT, files: { "/opt/valet/demo": demo.folder } },
    files: {
      "/usr/local/bin/node": process.execPath,
      "/usr/local/bin/bun": BUN,
      [`${RUNNER}/dist/image`]: dirname(await runnerProgram()),
      [`${RUNNER}/node_modules/opencode-ai`]: OPENCODE,
    },
    linked: [BUN, process.execPath, `${OPENCODE}/bin/opencode.exe`],
    programs: ["/usr/bin/curl", "/usr/bin/git", "/usr/bin/git-upload-pack", "/usr/lib/git-core/git", ...PERL],
    texts: {
      "/etc/passwd": `${USERS.join("\n")}\n`,
      "/etc/group": `${GROUPS.join("\n")}\n`,
      "/usr/local/bin/valet-entrypoint": readFileSync(resolve(ROOT, "packages/sandbox/image/valet-entrypoint"), "utf8"),
    },
  });
  rmSync(demo.folder, { recursive: true });
}
