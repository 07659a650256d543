/** Folders by open descriptor, so that they can be reached however long their path is. */
import { closeSync, constants, openSync } from "node:fs";

/** A path longer than this cannot be given to the kernel (PATH_MAX of limits.h, less its NUL). */
export const MAX_PATH_BYTES = 4095;
/** What goes into one step: with the prefix it stays below {@link MAX_PATH_BYTES}. */
const MAX_STEP_BYTES = 3_800;
const FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** The path by which an open folder is reached from this process and from those that it starts. */
export function pathOf(descriptor: number): string {
  return `/proc/${process.pid}/fd/${descriptor}`;
}

/** The path of a name in an open folder. Names are bytes, as the kernel has them. */
export function pathIn(descriptor: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${pathOf(descriptor)}/`), name]);
}

/**
 * Opens the folder that lies these names below `path`, however deep. The caller closes it.
 * @throws what the file system says; also where a name is a link
 */
export function openFolder(path: string, names: readonly Buffer[] = []): number {
  let descriptor = openSync(path, FLAGS);
  let step: Buffer[] = [];
  let bytes = 0;
  const advance = () => {
    const below = pathIn(descriptor, Buffer.concat(step));
    const before = descriptor;
    try {
      descriptor = openSync(below, FLAGS);
    } finally {
      closeSync(before);
    }
    step = [];
    bytes = 0;
  };
  for (const name of names) {
    if (bytes + name.length + 1 > MAX_STEP_BYTES) advance();
    if (step.length > 0) step.push(Buffer.from("/"));
    step.push(name);
    bytes += name.length + 1;
  }
  if (step.length > 0) advance();
  return descriptor;
}

/** Works with the folder that lies these names below `path`, which is closed afterwards: `work` is not to return a promise. */
export function withFolder<T>(path: string, names: readonly Buffer[], work: (descriptor: number) => T): T {
  const descriptor = openFolder(path, names);
  try {
    return work(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
