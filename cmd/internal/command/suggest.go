package command

// maxTypos is how many letters a word may be away from a subcommand that is meant; a
// word of no more letters is away from none.
const maxTypos = 2

// Suggest returns the subcommand that a word is a mistyped name of, as it is called
// ("multiclient check"), or "" if it resembles none.
func (c *Command) Suggest(word string) string {
	suggestion, least := "", min(maxTypos+1, len(word))
	for _, sub := range c.main.subcommands {
		if d := editDistance(word, sub.text.Name); d < least {
			suggestion, least = sub.title(), d
		}
	}
	return suggestion
}

// editDistance is how many bytes have to be inserted, taken out or replaced to make b
// of a (Levenshtein's distance).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // the distances of a's beginning to those of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
