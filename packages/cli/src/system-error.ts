/** Says in a sentence what an error of the operating system means, wherever a command met it. Pure. */

const MEANINGS: { readonly [code: string]: string | undefined } = {
  ENOSPC: "The disk is full. Make room, or use a folder on another one.",
  EDQUOT: "The disk quota is used up. Make room, or use a folder on another disk.",
  EROFS: "The file system is read-only. Use a folder on another one.",
  EACCES: "This user may not use it. Use another folder, or change its owner.",
  EPERM: "This user may not do that. Use another folder, or change its owner.",
  ENOTDIR: "A part of the path is no folder.",
  EMFILE: "Too many files are open. Raise the limit (`ulimit -n`).",
  ENFILE: "Too many files are open on this machine.",
  ENOMEM: "There is no memory left.",
  EIO: "The disk cannot be read or written.",
};

/** Returns the sentence; `undefined` for any other error, which is one of Valet's own. */
export function systemErrorText(error: unknown): string | undefined {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  const meaning = code === undefined ? undefined : MEANINGS[code];
  if (meaning === undefined) return undefined;
  return `${path === undefined ? "" : `${path}: `}${meaning} (${code})`;
}
