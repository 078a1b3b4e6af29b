package fec

// Missing is the count of source symbols that are not in their places.
func (d *Decoder) Missing() int { return d.missing }
