import { fstatSync, readSync } from "node:fs";

const FIRST_BYTES = 64 * 1024;

/**
 * Reads an open file to its end, which may move away meanwhile.
 * @throws the file system's error, and an error with the code `EFBIG` if there is more than `maxBytes`
 */
export function readAtMost(file: number, maxBytes: number): Buffer {
  if (fstatSync(file).size > maxBytes) throw tooLong();
  let bytes = Buffer.alloc(Math.min(FIRST_BYTES, maxBytes + 1));
  let length = 0;
  for (let read = -1; read !== 0; length += read) {
    if (length > maxBytes) throw tooLong();
    if (length === bytes.length) bytes = Buffer.concat([bytes, Buffer.alloc(Math.min(length, maxBytes + 1 - length))]);
    read = readSync(file, bytes, length, bytes.length - length, null);
  }
  return bytes.subarray(0, length);
}

function tooLong(): Error {
  return Object.assign(new Error("the file is too long"), { code: "EFBIG" });
}
