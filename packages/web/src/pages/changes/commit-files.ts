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

/** Returns how many names of files that a commit changed are not among the files shown; a renamed file has two names. */
export function namesMissing(
  { files = [], files_changed = files.length }: { readonly files?: readonly string[]; readonly files_changed?: number },
  shown: readonly Changed[],
): number {
  const here = new Set(shown.flatMap(({ path, previous_path }) => [path, previous_path]));
  return files_changed - files.filter((name) => here.has(name)).length;
}
