/**
 * Makes the live page's files from their sources: bundled and minified, so that each runtime serves
 * them from source without a build, and each executable without files beside it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const directory = fileURLToPath(new URL("../src/admin/page", import.meta.url));

/** The text of src/admin/page/bundle.ts. */
export async function pageBundle(): Promise<string> {
  const files = {
    PAGE: withoutIndentation(readFileSync(join(directory, "page.html"), "utf8")),
    STYLE: await bundled("page.css"),
    SCRIPT: await bundled("browser/main.ts"),
    ICON: readFileSync(join(directory, "icon.svg"), "utf8"),
  };
  const lines = Object.entries(files).map(([name, text]) =>
    `export const ${name} = ${JSON.stringify(text)};\n`
  );
  return `// Generated from the sources beside it; refresh it with: node scripts/page.ts\n\n${
    lines.join("\n")
  }`;
}

async function bundled(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(directory, file)],
    absWorkingDir: directory,
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    charset: "ascii",
    target: ["chrome110", "firefox110", "safari16.4"],
  });
  return outputFiles[0]!.text;
}

function withoutIndentation(html: string): string {
  return html.replaceAll(/^\s+/gm, "");
}
