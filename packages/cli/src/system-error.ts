/** Says in a sentence what an error of the operating system means, wherever a command met it. Pure. */

/** What happened, and what to do. */
const MEANINGS: { readonly [code: string]: readonly [what: string, remedy: string] | undefined } = {
  ENOSPC: ["the disk is full", "Make room, or use a folder on another disk."],
  EDQUOT: ["the disk quota is used up", "Make room, or use a folder on another disk."],
  EROFS: ["the file system is read-only", "Use a folder on another one."],
  EACCES: ["this user may not use it", "Use another folder, or change its owner."],
  EPERM: ["this user may not do that", "Use another folder, or change its owner."],
  EEXIST: ["a file is in the way", "Move it away, or use another path."],
  EISDIR: ["a folder is in the way", "Move it away, or use another path."],
  ELOOP: ["its links lead in a circle", "Use another path."],
  ENOTDIR: ["a part of the path is not a folder", "Use another path."],
  ENAMETOOLONG: ["the name is too long", "Use a shorter one."],
  EMFILE: ["too many files are open", "Raise the limit (`ulimit -n`)."],
  ENFILE: ["too many files are open on this machine", "Close other programs."],
  ENOMEM: ["there is no memory left", "Close other programs."],
  EIO: ["the disk cannot be read or written", "Check the disk, or use a folder on another one."],
};

/**
 * Returns the sentence; `undefined` for any other error, which is one of Valet's own.
 * @param remedy what to do, in place of the general remedy
 */
export function systemErrorText(error: unknown, remedy?: string): string | undefined {
  const { code, path, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === "ENOENT" && syscall === "uv_cwd") return "The current folder was removed. Change to another one.";
  const meaning = code === undefined ? undefined : MEANINGS[code];
  if (meaning === undefined) return undefined;
  const [what, generalRemedy] = meaning;
  const sentence = path === undefined ? `${what.charAt(0).toUpperCase()}${what.slice(1)}` : `${path}: ${what}`;
  return `${sentence} (${code}). ${remedy ?? generalRemedy}`;
}
