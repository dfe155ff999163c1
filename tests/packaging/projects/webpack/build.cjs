// Builds the project with webpack's own defaults; a warning is a failure, but for the one that
// WebAssembly is larger than webpack thinks a script should be.

const { join } = require("node:path");
const webpack = require("webpack");

const settings = {
  context: __dirname,
  entry: "./main.js",
  mode: "production",
  output: { path: join(__dirname, "dist") },
  performance: { hints: false },
};
webpack(settings, (error, stats) => {
  if (error) throw error;
  if (stats.hasErrors() || stats.hasWarnings()) {
    console.error(stats.toString());
    process.exitCode = 1;
  }
});
