// Prints, as JSON, what Visual Studio Code's own engine makes of each line of some files: [start, end, scope] each.
// node tests/textmate.js GRAMMAR FILE…; vscode-textmate and vscode-oniguruma are found beside the extension.
const { readFileSync } = require("fs");
const { createRequire } = require("module");
const [, , grammarFile, ...files] = process.argv;
const beside = createRequire(grammarFile);
const { INITIAL, Registry, parseRawGrammar } = beside("vscode-textmate");
const { OnigScanner, OnigString, loadWASM } = beside("vscode-oniguruma");

async function main() {
  await loadWASM(readFileSync(beside.resolve("vscode-oniguruma/release/onig.wasm")).buffer);
  const registry = new Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new OnigScanner(patterns),
      createOnigString: (text) => new OnigString(text),
    }),
    loadGrammar: async () => parseRawGrammar(readFileSync(grammarFile, "utf8"), grammarFile),
  });
  const grammar = await registry.loadGrammar("source.tsim");
  const colored = files.map((file) => {
    let stack = INITIAL;
    return readFileSync(file, "utf8").split("\n").map((line) => {
      const found = grammar.tokenizeLine(line, stack);
      stack = found.ruleStack;
      return found.tokens.map((part) => [part.startIndex, part.endIndex, part.scopes.at(-1)]);
    });
  });
  console.log(JSON.stringify(colored));
}

main();
