/** What of a turn's changes a commit has changed. Pure. */

interface Changed {
  readonly path: string;
  readonly previous_path: string | null;
}

/** Returns the files of a turn that one of its commits changed; a renamed one by either name. */
export function filesOfCommit<File extends Changed>(
  { files = [] }: { readonly files?: readonly string[] | undefined },
  all: readonly File[],
): File[] {
  const names = new Set(files);
  return all.filter(
    ({ path, previous_path }) => names.has(path) || (previous_path !== null && names.has(previous_path)),
  );
}

/**
 * Returns how many files a commit changed; `undefined` if that is not recorded. A commit has both names of a renamed file, which is one file
 * if the turn shows it as one.
 */
export function countOfCommit(
  commit: { readonly files?: readonly string[] | undefined; readonly files_changed?: number | undefined },
  all: readonly Changed[],
): number | undefined {
  if (commit.files_changed === undefined) return undefined;
  const shown = filesOfCommit(commit, all);
  return shown.length + namesMissing(commit, shown);
}

/** Returns how many names of files that a commit changed are not among the files shown; a renamed file has two names. */
export function namesMissing(
  {
    files = [],
    files_changed = files.length,
  }: { readonly files?: readonly string[] | undefined; readonly files_changed?: number | undefined },
  shown: readonly Changed[],
): number {
  const here = new Set(shown.flatMap(({ path, previous_path }) => [path, previous_path]));
  return files_changed - files.filter((name) => here.has(name)).length;
}
