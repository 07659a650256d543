/** Empties the database and all objects before each test file, since the files of a project share a workerd. */
import { reset } from "cloudflare:test";

await reset();
