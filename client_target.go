package multiserver

import "multiserver/internal/target"

// pickTarget makes the disk that Target means the Output, and says which it is. A
// disk that nobody can tell from others is refused, after the list of them.
func (c *Client) pickTarget() error {
	if c.cfg.Target == "" {
		return nil
	}
	disk, candidates, err := target.PickDisk(c.selection)
	if err != nil {
		for _, d := range candidates {
			// As errors: it is half of what the refusal says.
			c.cfg.Log.Error(d.Name + ": " + d.String())
		}
		return err
	}
	c.cfg.Log.Info("--target picked " + disk.Path + ": " + disk.String())
	c.cfg.Output = disk.Path
	c.update(func(st *ClientStats) { st.Output = disk.Path })
	return nil
}
