import { mount } from 'svelte'
import '../shared/tokens.css'
import { PageApi } from './api'
import App from './App.svelte'
import { takeBearer } from './bearer'
import { Book } from './book.svelte'

const book = new Book(new PageApi(takeBearer()))
mount(App, { target: document.getElementById('app')!, props: { book } })
void book.start()
