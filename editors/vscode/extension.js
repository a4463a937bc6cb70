// Starts the language server of TSDL and connects the editor with it. Plain JavaScript: nothing is built.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = function activate() {
  const [command, ...args] = workspace.getConfiguration("tsdl").get("command");
  const folder = workspace.workspaceFolders?.[0]?.uri.fsPath;
  client = new LanguageClient(
    "tsdl",
    "TSDL",
    { command, args, options: { cwd: folder } },
    {
      documentSelector: [{ language: "tsim" }],
      synchronize: { fileEvents: workspace.createFileSystemWatcher("**/*.tsim") },
    },
  );
  return client.start();
};

exports.deactivate = function deactivate() {
  return client?.stop();
};
