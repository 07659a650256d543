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
  realpathSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

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
        folder = above.folder(name);
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

  /** Opens a folder in this one. The caller closes it. @throws the file system's error, also if it is a link */
  folder(name: string): OpenFolder {
    return new OpenFolder(join(this.#path, oneName(name)), this.#at(name));
  }

  /** Creates a folder in this one, unless there is one, and opens it. The caller closes it. @returns whether it is new */
  makeFolder(name: string): { readonly folder: OpenFolder; readonly isNew: boolean } {
    let isNew = true;
    try {
      mkdirSync(this.#at(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      isNew = false;
    }
    return { folder: this.folder(name), isNew };
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

  /** Creates a file that does not exist yet. @param owner whose it is to be @throws the file system's error */
  createFile(name: string, content: string | Uint8Array, owner?: Owner): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | FILE;
    const descriptor = openSync(this.#at(name), flags, 0o666);
    try {
      writeFileSync(descriptor, content);
      if (owner !== undefined) fchownSync(descriptor, owner.uid, owner.gid);
    } finally {
      closeSync(descriptor);
    }
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

  /** Moves an entry to another folder, where it replaces a file of that name. @throws the file system's error */
  move(name: string, to: OpenFolder, newName = name): void {
    renameSync(this.#at(name), to.#at(newName));
  }

  get owner(): Owner {
    return fstatSync(this.#descriptor);
  }

  /** Gives the folder itself to somebody. @throws the file system's error */
  give({ uid, gid }: Owner): void {
    fchownSync(this.#descriptor, uid, gid);
  }

  /** Gives what is in the folder, and in its folders, to somebody; of a link the link itself. @throws the file system's error */
  giveContent(owner: Owner): void {
    for (const entry of this.entries()) {
      if (!entry.isDirectory()) {
        lchownSync(this.#at(entry.name), owner.uid, owner.gid);
        continue;
      }
      const folder = this.folder(entry.name);
      try {
        folder.give(owner);
        folder.giveContent(owner);
      } finally {
        folder.close();
      }
    }
  }

  close(): void {
    closeSync(this.#descriptor);
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

/** @throws Error for what would lead out of the folder, or deeper into it past a link */
function oneName(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new Error("not the name of a file");
  }
  return name;
}
