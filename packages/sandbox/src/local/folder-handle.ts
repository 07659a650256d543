/** Accesses folders by open descriptors, which works for paths of any length. */
import { closeSync, constants, openSync } from "node:fs";

/** The longest path that the kernel accepts (PATH_MAX of limits.h, less its NUL). */
export const MAX_PATH_BYTES = 4095;
/** The maximum length of the names in one step; with the prefix, a step stays below {@link MAX_PATH_BYTES}. */
const MAX_STEP_BYTES = 3_800;
const FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Returns the path by which this process and its child processes reach an open folder. */
export function pathOf(descriptor: number): string {
  return `/proc/${process.pid}/fd/${descriptor}`;
}

/** Returns the path of a name in an open folder. Names are bytes, as in the kernel. */
export function pathIn(descriptor: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${pathOf(descriptor)}/`), name]);
}

/**
 * Opens the folder at these names below `path`, at any depth. The caller closes it.
 * @throws the file system's error; also when a name is a link
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

/**
 * Calls `work` with the open folder at these names below `path`, and closes it afterwards; so `work` must not return a
 * promise.
 */
export function withFolder<T>(path: string, names: readonly Buffer[], work: (descriptor: number) => T): T {
  const descriptor = openFolder(path, names);
  try {
    return work(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
