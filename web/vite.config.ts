import { fileURLToPath } from 'node:url'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'
import { mockSportsbook } from './dev/mock-sportsbook.js'

// One build per page: each is served by its own side (the sportsbook's page by the sportsbook, the site by the
// demo platform), so neither may hold the other's files.
const PAGES: Record<string, { base: string }> = {
  sportsbook: { base: '/static/' },
  site: { base: '/' },
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const pages = svelte({ configFile: false, compilerOptions: { runes: true } })

export default defineConfig(({ mode, command }) => {
  const page = PAGES[mode]
  if (page === undefined) {
    return { plugins: [pages], test: { include: ['src/**/*.test.ts'], environment: 'node' } }
  }
  return {
    root: here(`./${mode}`),
    base: command === 'build' ? page.base : '/',
    plugins: [pages, mode === 'sportsbook' && mockSportsbook()],
    resolve: { alias: { '/@src': here('./src') } },
    server: { fs: { allow: [here('.')] } },
    build: {
      outDir: here(`../src/stakewire/static/${mode}`),
      emptyOutDir: true,
      target: 'es2022',
      modulePreload: { polyfill: false },
      assetsInlineLimit: 0, // the content security policy allows no data: scripts or styles
    },
  }
})
