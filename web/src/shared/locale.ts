/** The languages of the pages, and what is written the same way in every one: numbers, times, plurals. */

export const LOCALES = ['en', 'ar'] as const
export type Locale = (typeof LOCALES)[number]

export const LANGUAGE_NAMES: Record<Locale, string> = { en: 'English', ar: 'العربية' }

/** The closest language we have; English for everything else. */
export function pickLocale(wanted: string | null | undefined): Locale {
  const base = (wanted ?? '').toLowerCase().split(/[-_]/)[0]
  return LOCALES.find((locale) => locale === base) ?? 'en'
}

export function direction(locale: Locale): 'ltr' | 'rtl' {
  return locale === 'ar' ? 'rtl' : 'ltr'
}

/** Latin digits in every language: the odds and amounts of one page must read alike. */
export function numberTag(locale: Locale): string {
  return `${locale}-u-nu-latn`
}

/** Chooses among plural forms; `other` is the fallback of every language. */
export function plural(locale: Locale, count: number, forms: Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }): string {
  const form = forms[new Intl.PluralRules(locale).select(count)] ?? forms.other
  return form.replace('#', new Intl.NumberFormat(numberTag(locale)).format(count))
}

/** Dresses the document in a language. */
export function applyLocale(locale: Locale, title: string): void {
  document.documentElement.lang = locale
  document.documentElement.dir = direction(locale)
  document.title = title
}

/** Minutes and seconds left, for a countdown under an hour: "4:07". */
export function minutesAndSeconds(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

export function clockTime(at: Date, locale: Locale): string {
  return new Intl.DateTimeFormat(numberTag(locale), { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(at)
}

export function clockTimeWithSeconds(at: Date, locale: Locale): string {
  return new Intl.DateTimeFormat(numberTag(locale), { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(at)
}

export function dayAndTime(at: Date, locale: Locale): string {
  return new Intl.DateTimeFormat(numberTag(locale), { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(at)
}
