/**
 * The folder for what a runner's successor needs: the journal, the spans, and the progress of the repository's setup. It is
 * outside the agent's home. If an agent wrote into it anyway, the runner must still start. It therefore sets aside everything
 * that is not a plain file or folder, and replaces a folder that cannot be used.
 */
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SIDE_FILES } from "./sqlite-file.ts";

export interface StateFolderOptions {
  readonly path: string;
  /** The folder of earlier versions, in the agent's home. Its spans are moved once. */
  readonly earlierPath: string;
  /** Receives what was set aside; only names of files. */
  onProblem(problem: string): void;
}

export const JOURNAL_FILE = "journal.sqlite";
/** The journal of runners before version 0.3.0. */
export const EARLIER_JOURNAL_FILE = "journal.jsonl";
export const SPANS_FOLDER = "spans";
export const REPOSITORY_FILE = "repository.json";
export const SECRETS_FILE = "secrets";
const SPANS_FILE = /\.(?:spans|sqlite|sqlite-wal)$/;
/** Exists once the earlier folder's spans have been moved. */
const TAKEN_OVER_FILE = "taken-over";
const PLAIN_FILES = [
  ...["", ...SIDE_FILES].map((suffix) => JOURNAL_FILE + suffix),
  EARLIER_JOURNAL_FILE,
  REPOSITORY_FILE,
  TAKEN_OVER_FILE,
  SECRETS_FILE,
  `${SECRETS_FILE}.new`,
];
/** Far more than any file of the runner. The runner did not write a larger file, and reading one could exhaust the memory. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/**
 * Prepares the folder for use.
 * @returns its path; if the folder cannot be used, that of a temporary one, which a successor will not find
 * @throws if no folder can be created
 */
export function openStateFolder({ path, earlierPath, onProblem }: StateFolderOptions): string {
  try {
    makeFolder(path, onProblem);
    for (const name of PLAIN_FILES) keepIf(isPlainFile, path, name, onProblem);
    keepIf((stats) => stats.isDirectory(), path, SPANS_FOLDER, onProblem);
    const spans = join(path, SPANS_FOLDER);
    mkdirSync(spans, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(spans)) keepIf(isPlainFile, spans, name, onProblem, path);
    takeOver(path, earlierPath);
    return path;
  } catch (error) {
    const replacement = mkdtempSync(join(tmpdir(), "valet-runner-"));
    onProblem(`the state folder cannot be used (${codeOf(error)}); this run keeps its state in ${replacement}`);
    return replacement;
  }
}

/** Renames a file or folder. @throws errors of the file system */
function setAside(folder: string, name: string, into = folder): void {
  renameSync(join(folder, name), join(into, `unusable-${Date.now()}-${Math.random().toString(36).slice(2)}-${name}`));
}

/** Renames the journal, in any of its formats. @throws errors of the file system */
export function setJournalAside(folder: string): void {
  for (const name of [...SIDE_FILES.map((suffix) => JOURNAL_FILE + suffix), JOURNAL_FILE, EARLIER_JOURNAL_FILE]) {
    if (existsSync(join(folder, name))) setAside(folder, name);
  }
}

function makeFolder(path: string, onProblem: StateFolderOptions["onProblem"]): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isDirectory()) {
    renameSync(path, `${path}.unusable-${Date.now()}`);
    onProblem(`${path} was not a folder and was set aside`);
  }
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
  accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
}

function keepIf(
  isUsable: (stats: Stats) => boolean,
  folder: string,
  name: string,
  onProblem: StateFolderOptions["onProblem"],
  into = folder,
): void {
  const stats = lstatSync(join(folder, name), { throwIfNoEntry: false });
  if (stats === undefined || isUsable(stats)) return;
  setAside(folder, name, into);
  onProblem(`${name} was not a file of the runner and was set aside`);
}

function isPlainFile(stats: Stats): boolean {
  return stats.isFile() && stats.size <= MAX_FILE_BYTES;
}

/** Moves the spans of an earlier version, only once, since later only an agent can have written to that folder. */
function takeOver(path: string, earlierPath: string): void {
  const done = join(path, TAKEN_OVER_FILE);
  if (path === earlierPath || existsSync(done)) return;
  const earlier = join(earlierPath, SPANS_FOLDER);
  if (lstatSync(earlier, { throwIfNoEntry: false })?.isDirectory()) {
    for (const name of readdirSync(earlier).filter((each) => SPANS_FILE.test(each))) {
      if (!isPlainFile(lstatSync(join(earlier, name)))) continue;
      try {
        renameSync(join(earlier, name), join(path, SPANS_FOLDER, name));
      } catch {
        // The folders are on different file systems. The start must not fail for that.
      }
    }
  }
  writeFileSync(done, "", { mode: 0o600 });
  try {
    rmSync(earlierPath, { recursive: true, force: true });
  } catch {
    // Nothing reads the folder any more.
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).name;
}
