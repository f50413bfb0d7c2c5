// Builds the page and the client library. `node build.mjs FOLDER` writes somewhere else, to compare.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? here;
const page = join(out, "dist");
const client = join(out, "client", "dist");
for (const folder of [page, client]) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
}
// The paths in the output must not depend on where it is built.
process.chdir(here);
const common = { bundle: true, format: "esm", charset: "utf8", legalComments: "none", logLevel: "warning" };
await build({
  ...common,
  entryPoints: ["page/src/main.ts"],
  outfile: join(page, "page.js"),
  target: ["chrome110", "firefox110", "safari16"],
  minify: true,
});
await build({
  ...common,
  entryPoints: ["page/style.css"],
  outfile: join(page, "page.css"),
  target: ["chrome110", "firefox110", "safari16"],
  minify: true,
});
copyFileSync("page/index.html", join(page, "index.html"));
await build({
  ...common,
  entryPoints: ["client/src/index.ts"],
  outfile: join(client, "index.js"),
  platform: "neutral",
  target: "es2022",
});
execFileSync(
  process.execPath,
  ["node_modules/typescript/bin/tsc", "-p", "client/tsconfig.json", "--outDir", client],
  { stdio: "inherit" },
);
