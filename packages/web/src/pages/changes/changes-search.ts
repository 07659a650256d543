/** Which turns and which file are shown, as it stands in the URL. Pure. */

interface ChangesSearch {
  /** The first turn: its id, that of its message, or `first`. */
  readonly from?: string;
  /** The last turn: its id, or that of its message. */
  readonly to?: string;
  /** The path of the file that is unfolded. */
  readonly file?: string;
}

/** Reads the search of a URL; what is malformed counts as absent. */
export function parseChangesSearch({ from, to, file }: Readonly<Record<string, unknown>>): ChangesSearch {
  return {
    ...(isPlace(from) && { from }),
    ...(isPlace(to) && { to }),
    ...(typeof file === "string" && file !== "" && file.length <= 4096 && { file }),
  };
}

function isPlace(value: unknown): value is string {
  return typeof value === "string" && /^\w{1,128}$/.test(value);
}
