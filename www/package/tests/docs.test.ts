// The examples in the documentation: every TypeScript block of the README and of an @example has the
// types of the package, and runs against the fake engine.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import * as loraloom from "../src/index.js";
import { files, registry } from "./fake-library.js";
import { FakeSession } from "./fake-session.js";
import { localWorker } from "./local-worker.js";
import { ORIGIN, serveLibrary } from "./server.js";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** What an example may use without declaring it. */
const CONTEXT = `
import type { Example, LearnResult, LoraLoom } from "loraloom";
declare global {
  const { DEFAULT_HUB, LoraLoom, LoraLoomError, addressSource, describeSource, droppedFiles, filesSource }:
    typeof import("loraloom");
  const loom: LoraLoom;
  const examples: Example[];
  const learned: LearnResult;
  const fragment: string;
}`;

interface Snippet {
  name: string;
  code: string;
}

/** The blocks of a Markdown text. */
function blocks(name: string, text: string): Snippet[] {
  return [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = ""], index) => ({
    name: `${name} ${index + 1}`,
    code,
  }));
}

/** The @example blocks of a source file, by the names of what they document. */
function examplesOf(file: string): Snippet[] {
  const source = readFileSync(path(`../src/${file}`), "utf8");
  return [...source.matchAll(/\/\*\*\n((?: *\*[^\n]*\n)+?) *\*\/\n *([^\n]*)/g)].flatMap(
    ([, comment = "", declaration = ""]) =>
      blocks(`${file}: ${declaration}`, comment.replace(/^ *\* ?/gm, "")),
  );
}

const sources = readdirSync(path("../src")).filter((file) => file.endsWith(".ts"));
const snippets = [
  ...blocks("README", readFileSync(path("../README.md"), "utf8")),
  ...sources.flatMap(examplesOf),
];

describe("the documentation's examples", () => {
  beforeAll(() => {
    vi.stubGlobal("Worker", localWorker);
    vi.stubGlobal("document", { baseURI: ORIGIN });
    vi.spyOn(console, "log").mockImplementation(() => undefined);
    FakeSession.steps = 5;
    serveLibrary((requested) => {
      const inLibrary = requested.match(/^library\/(.+)$/)?.[1];
      if (inLibrary === "registry.json") return new Response(JSON.stringify(registry));
      const bytes = files.get(inLibrary ?? "");
      if (bytes) return new Response(bytes as Uint8Array<ArrayBuffer>);
      // Other addresses are hosts without a list of files.
      return requested.includes("/api/") ? null : new Response("{}");
    });
  });
  afterAll(() => {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  test("cover every call of the client, in the API pages and in the README", () => {
    const readme = readFileSync(path("../README.md"), "utf8");
    const methods = Object.getOwnPropertyNames(loraloom.LoraLoom.prototype).filter(
      (name) => name !== "constructor" && !["device", "base", "ended"].includes(name),
    );
    for (const name of [...methods, "open", "inspect"]) {
      const own = snippets.filter((one) => one.name.includes(` ${name}(`));
      expect(own.map(({ code }) => code).join(), name).toContain(`.${name}(`);
      expect(readme).toMatch(new RegExp(`\\b${name}\\(`));
    }
  });

  test("have the package's types", { timeout: 60_000 }, () => {
    const texts = new Map([[path("context.ts"), CONTEXT]]);
    for (const [index, { code }] of snippets.entries()) {
      texts.set(path(`example-${index}.ts`), `${code}\nexport {};`);
    }
    const { config } = ts.readConfigFile(path("../../tsconfig.base.json"), ts.sys.readFile);
    const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, path(".."));
    Object.assign(options, {
      noEmit: true,
      noUnusedLocals: false,
      paths: { loraloom: [path("../src/index.ts")] },
    });
    const host = ts.createCompilerHost(options);
    const { readFile, fileExists, getSourceFile } = host;
    host.readFile = (name) => texts.get(name) ?? readFile(name);
    host.fileExists = (name) => texts.has(name) || fileExists(name);
    host.getSourceFile = (name, target, ...rest) => {
      const text = texts.get(name);
      return text === undefined
        ? getSourceFile(name, target, ...rest)
        : ts.createSourceFile(name, text, target);
    };
    const program = ts.createProgram([...texts.keys()], options, host);
    const problems = [...texts.keys()].flatMap((name) => {
      const file = program.getSourceFile(name);
      return [...program.getSemanticDiagnostics(file), ...program.getSyntacticDiagnostics(file)];
    });
    const found = problems.map(({ file, messageText }) => {
      const index = Number(file?.fileName.match(/example-(\d+)/)?.[1]);
      const message = ts.flattenDiagnosticMessageText(messageText, "\n");
      return `${snippets[index]?.name ?? "context"}: ${message}`;
    });
    expect(found).toEqual([]);
  });

  test.each(snippets)("run: $name", async ({ code }) => {
    const examples = [{ input: "a", output: "b" }];
    const loom = await loraloom.LoraLoom.open({ registryUrl: `${ORIGIN}library/registry.json` });
    const learned = await loom.learn({ examples });
    const fragment = await loom.share({ composition: learned, title: "Title" });
    const context = { ...loraloom, loom, examples, learned, fragment };
    const { outputText } = ts.transpileModule(code, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const body = outputText.replace(/^import .*$/gm, "").replace(/^export .*$/gm, "");
    const run = new Function(...Object.keys(context), `return (async () => {{ ${body} }})();`);
    await run(...Object.values(context));
    loom.dispose();
  });
});
