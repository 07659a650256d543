/** The repository with the programs that the agent runs. It holds all that they need: an agent behind a wall sees nothing else. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { build } from "esbuild";

const PROGRAMS = import.meta.dirname;
const PACKAGES = join(PROGRAMS, "../../bench/node_modules");
const INSTALL_TIMEOUT_MS = 120_000;

/** What a program's command is, its service, and its spans with their parents; `tool` is the span of the command. */
export interface Course {
  readonly command: string;
  readonly service: string;
  readonly tree: Readonly<Record<string, string>>;
}

const SUITE: Course = {
  // Behind a wall it is the machine's Node, of any version.
  command: "node suite.cjs",
  service: "suite",
  tree: { "node suite": "tool", "node test adds": "node suite", "node test fails": "node suite" },
};
const SCRIPT: Course = { command: "bash script.sh", service: "script", tree: { "shell script": "tool" } };
const PYTHON: Course = {
  command: "PYTHONPATH=python PYTHONDONTWRITEBYTECODE=1 python3 program.py",
  service: "python program",
  tree: { "python program": "tool", "python step": "python program" },
};
const BY_HAND: Course = {
  command: "node by-hand.mjs",
  service: "program by hand",
  tree: { "program by hand": "tool", "step by hand": "program by hand" },
};

/** The programs of a repository, and what sends the protobuf and the JSON among them. */
export interface Programs {
  readonly courses: readonly Course[];
  readonly protobufBy: string;
  readonly jsonBy: string;
}

/**
 * Installs OpenTelemetry's SDK for Python into a folder.
 * @returns false where there is no Python with pip, or no PyPI
 */
function installPython(folder: string): boolean {
  const install = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--retries",
    "0",
    "--timeout",
    "15",
  ];
  try {
    execFileSync("python3", [...install, "--target", folder, "-r", join(PROGRAMS, "requirements.txt")], {
      stdio: "ignore",
      timeout: INSTALL_TIMEOUT_MS,
    });
    return true;
  } catch {
    return false;
  }
}

function hasCurl(): boolean {
  try {
    execFileSync("curl", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Makes the repository. @param folder a new one */
export async function makeRepository(folder: string): Promise<Programs> {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [join(PROGRAMS, "suite.mjs")],
    outfile: join(folder, "suite.cjs"),
    bundle: true,
    platform: "node",
    format: "cjs",
    nodePaths: [PACKAGES, ...(process.env.NODE_PATH?.split(delimiter) ?? [])],
    logLevel: "error",
  });
  const hasPython = installPython(join(folder, "python"));
  for (const name of ["script.sh", "program.py", "by-hand.mjs"]) copyFileSync(join(PROGRAMS, name), join(folder, name));
  writeFileSync(join(folder, ".gitignore"), "__pycache__/\n");
  const git = (...args: string[]) => execFileSync("git", args, { cwd: folder, stdio: "ignore" });
  git("init", "--quiet", "--initial-branch=main");
  git("add", "--all");
  git("-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "--quiet", "--message", "Programs");
  return {
    courses: [SUITE, hasPython ? PYTHON : BY_HAND, SCRIPT],
    protobufBy: hasPython
      ? "OpenTelemetry's SDK for Python"
      : "protobuf written by hand, since the SDK for Python cannot be installed",
    jsonBy: hasCurl() ? "curl" : "a script without curl, which is missing",
  };
}
