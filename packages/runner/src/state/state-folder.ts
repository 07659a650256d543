/**
 * Where the runner keeps what its successor needs: its journal, its spans, how far the repository's setup has come. It lies
 * outside the agent's home. Whatever an agent may have left there all the same must not keep the runner from starting: what is
 * no plain file or folder is set aside, and a folder that cannot be used is replaced.
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
  /** Where runners before kept it, in the agent's home: their spans are taken over, once. */
  readonly earlierPath: string;
  /** Told what was set aside; names of files only. */
  onProblem(problem: string): void;
}

export const JOURNAL_FILE = "journal.sqlite";
/** Of runners before version 0.3.0. */
export const EARLIER_JOURNAL_FILE = "journal.jsonl";
export const SPANS_FOLDER = "spans";
export const REPOSITORY_FILE = "repository.json";
export const SECRETS_FILE = "secrets";
const SPANS_FILE = /\.(?:spans|sqlite|sqlite-wal)$/;
/** Says that the earlier path was looked at. */
const TAKEN_OVER_FILE = "taken-over";
const PLAIN_FILES = [
  ...["", ...SIDE_FILES].map((suffix) => JOURNAL_FILE + suffix),
  EARLIER_JOURNAL_FILE,
  REPOSITORY_FILE,
  TAKEN_OVER_FILE,
  SECRETS_FILE,
  `${SECRETS_FILE}.new`,
];
/** No file of the runner comes near it: what is larger was not written by it, and reading it could take all memory. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/**
 * Makes the folder ready for use.
 * @returns its path: another one, which a successor does not find, where the wanted one cannot be used
 * @throws when no folder can be made at all
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
    onProblem(`its folder cannot be used (${codeOf(error)}); this run's state is kept in ${replacement}`);
    return replacement;
  }
}

/** Takes a file or folder out of the way. @throws what the file system says */
function setAside(folder: string, name: string, into = folder): void {
  renameSync(join(folder, name), join(into, `unusable-${Date.now()}-${Math.random().toString(36).slice(2)}-${name}`));
}

/** Takes the journal out of the way, in whatever form it is. @throws what the file system says */
export function setJournalAside(folder: string): void {
  for (const name of [...SIDE_FILES.map((suffix) => JOURNAL_FILE + suffix), JOURNAL_FILE, EARLIER_JOURNAL_FILE]) {
    if (existsSync(join(folder, name))) setAside(folder, name);
  }
}

function makeFolder(path: string, onProblem: StateFolderOptions["onProblem"]): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isDirectory()) {
    renameSync(path, `${path}.unusable-${Date.now()}`);
    onProblem(`${path} was no folder and is set aside`);
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
  onProblem(`${name} was not what the runner had left and is set aside`);
}

function isPlainFile(stats: Stats): boolean {
  return stats.isFile() && stats.size <= MAX_FILE_BYTES;
}

/** Only once: later, nothing but an agent can have put anything there. */
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
        // On another file system: not worth a start.
      }
    }
  }
  writeFileSync(done, "", { mode: 0o600 });
  try {
    rmSync(earlierPath, { recursive: true, force: true });
  } catch {
    // Nothing reads it any more.
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? (error as Error).name;
}
