// Digests of arrays of a Zarr store in a folder, by name: node read.mjs FOLDER NAME...
import { createHash } from "node:crypto";
import { FileSystemStore } from "@zarrita/storage";
import * as zarr from "zarrita";

const [folder, ...names] = process.argv.slice(2);
const root = zarr.root(new FileSystemStore(folder));
const digests = {};
for (const name of names) {
    const array = await zarr.open(root.resolve(name), { kind: "array" });
    const { data } = await zarr.get(array);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    digests[name] = createHash("sha256").update(bytes).digest("hex");
}
console.log(JSON.stringify(digests));
