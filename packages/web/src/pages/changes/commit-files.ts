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
