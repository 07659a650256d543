/**
 * Folders that an agent can change, at any time and faster than any check. What a path names now is something else a moment later: a
 * link to a file of the machine, which the runner may read and write and the agent may not. So a folder is opened once, one name
 * after the other and never through a link, and everything in it is reached from the open descriptor.
 *
 * That takes `/proc/self/fd`. A system without it has no wall either, and an agent there may do what the runner may. There everything
 * is reached by its path.
 */
import {
  closeSync,
  constants,
  type Dirent,
  existsSync,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { readAtMost } from "./read-at-most.ts";

export const HAS_DESCRIPTOR_PATHS = existsSync("/proc/self/fd");
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** A named pipe is opened without waiting for its other end. */
const FILE = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Where a folder is: below one that the agent cannot exchange, in folders that it can. */
export interface FolderPlace {
  readonly root: string;
  readonly names: readonly string[];
}

export class OpenFolder {
  readonly #descriptor: number;
  readonly #path: string;

  private constructor(path: string, at: string) {
    this.#path = path;
    this.#descriptor = openSync(at, FOLDER);
  }

  /**
   * Opens the folder at these names. The caller closes it. A link is only followed on the way to `root`.
   * @throws the file system's error, also if a name is a link
   */
  static open({ root, names }: FolderPlace): OpenFolder {
    const path = realpathSync(root);
    let folder = new OpenFolder(path, path);
    for (const name of names) {
      const above = folder;
      try {
        folder = above.#open(name);
      } finally {
        above.close();
      }
    }
    return folder;
  }

  /** Calls `work` with the open folder, and closes it afterwards; so `work` must not return a promise. */
  static use<T>(place: FolderPlace, work: (folder: OpenFolder) => T): T {
    const folder = OpenFolder.open(place);
    try {
      return work(folder);
    } finally {
      folder.close();
    }
  }

  /** Calls `work` with a folder in this one, and closes it afterwards. @throws the file system's error, also if it is a link */
  enter<T>(name: string, work: (folder: OpenFolder) => T): T {
    const folder = this.#open(name);
    try {
      return work(folder);
    } finally {
      folder.close();
    }
  }

  /**
   * Calls `work` with a folder in this one, which is created if there is nothing of that name, and closes it afterwards.
   * @throws the file system's error, also if it is a link
   */
  within<T>(name: string, work: (folder: OpenFolder, isNew: boolean) => T): T {
    let isNew = true;
    try {
      mkdirSync(this.#at(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      isNew = false;
    }
    return this.enter(name, (folder) => work(folder, isNew));
  }

  /**
   * Opens a regular file in this folder. The caller closes it.
   * @param access how, for example `constants.O_RDONLY`
   * @throws the file system's error, also if it is a link, and an error if it is something else
   */
  file(name: string, access: number): number {
    const descriptor = openSync(this.#at(name), access | FILE);
    if (fstatSync(descriptor).isFile()) return descriptor;
    closeSync(descriptor);
    throw new Error("not a regular file");
  }

  /** Returns what is in a regular file. @throws the file system's error, and an error if there is more than `maxBytes` */
  read(name: string, maxBytes: number): Buffer {
    const file = this.file(name, constants.O_RDONLY);
    try {
      return readAtMost(file, maxBytes);
    } finally {
      closeSync(file);
    }
  }

  /** Creates a file, of which nothing exists yet. @throws the file system's error */
  create(name: string, content: string | Uint8Array, { mode = 0o666, owner }: CreateOptions = {}): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | FILE;
    const file = openSync(this.#at(name), flags, mode);
    try {
      writeFileSync(file, content);
      if (owner !== undefined) fchownSync(file, owner.uid, owner.gid);
    } finally {
      closeSync(file);
    }
  }

  /** Creates a file in place of whatever has its name. @throws the file system's error */
  replace(name: string, content: string | Uint8Array, options?: CreateOptions): void {
    this.remove(name);
    this.create(name, content, options);
  }

  /** Creates a link. @throws the file system's error */
  link(name: string, target: string): void {
    symlinkSync(target, this.#at(name));
  }

  /** Returns the absolute path that a link in this folder names. @throws the file system's error */
  linkTarget(name: string): string {
    return resolve(this.#path, readlinkSync(this.#at(name)));
  }

  entries(): Dirent[] {
    return readdirSync(this.#here, { withFileTypes: true });
  }

  /** Returns what is known about an entry, also if it is a link; `undefined` if there is none. */
  stat(name: string): Stats | undefined {
    return lstatSync(this.#at(name), { throwIfNoEntry: false });
  }

  /** Removes a file, or a link itself. @throws the file system's error, also if there is none, and if it is a folder */
  removeFile(name: string): void {
    unlinkSync(this.#at(name));
  }

  /** Removes whatever has the name, with all that is in it, and nothing that a link leads to. */
  remove(name: string): void {
    // Bun also opens one folder after the other, and none through a link.
    rmSync(this.#at(name), { recursive: true, force: true });
  }

  /** Gives the folder itself to somebody. @throws the file system's error */
  give({ uid, gid }: Owner): void {
    fchownSync(this.#descriptor, uid, gid);
  }

  /** Gives the folder with all that is in it to somebody; of a link the link itself. @throws the file system's error */
  giveAll(owner: Owner): void {
    for (const entry of this.entries()) {
      if (entry.isDirectory()) this.enter(entry.name, (folder) => folder.giveAll(owner));
      else lchownSync(this.#at(entry.name), owner.uid, owner.gid);
    }
    this.give(owner);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #open(name: string): OpenFolder {
    return new OpenFolder(join(this.#path, oneName(name)), this.#at(name));
  }

  get #here(): string {
    return HAS_DESCRIPTOR_PATHS ? `/proc/self/fd/${this.#descriptor}` : this.#path;
  }

  #at(name: string): string {
    return `${this.#here}/${oneName(name)}`;
  }
}

/** A user and a group, by their numbers. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

interface CreateOptions {
  readonly mode?: number;
  /** Whose the file is to be. */
  readonly owner?: Owner | undefined;
}

/** @throws Error for what would lead out of the folder, or deeper into it past a link */
function oneName(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new Error("not the name of a file");
  }
  return name;
}
