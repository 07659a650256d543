/** Which turns and which file are shown, as it stands in the URL. Pure. */

interface ChangesSearch {
  /** The first turn: its id, that of its message, or `first`. */
  readonly from?: string;
  /** The last turn: its id, or that of its message. */
  readonly to?: string;
  /** The path of the file that is unfolded. */
  readonly file?: string;
  /** The id of a commit: of its turn, only the files that it changed are shown. */
  readonly commit?: string;
}

/** Reads the search of a URL; what is malformed counts as absent. */
export function parseChangesSearch({ from, to, file, commit }: Readonly<Record<string, unknown>>): ChangesSearch {
  return {
    ...(isPlace(from) && { from }),
    ...(isPlace(to) && { to }),
    ...(typeof file === "string" && file !== "" && file.length <= 4096 && { file }),
    ...(typeof commit === "string" && /^[0-9a-f]{40,64}$/.test(commit) && { commit }),
  };
}

function isPlace(value: unknown): value is string {
  return typeof value === "string" && /^\w{1,128}$/.test(value);
}
