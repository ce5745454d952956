import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/apiece/serve/static",
    emptyOutDir: true,
    target: "es2022",
    rollupOptions: { output: { entryFileNames: "studio.js", assetFileNames: "studio[extname]" } },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
});
