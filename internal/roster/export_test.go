package roster

func (o Outcome) String() string {
	return [...]string{"pending", "done", "failed", "interrupted", "lost", "restarted", "refused"}[o]
}
